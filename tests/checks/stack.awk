# The deepest stack of each function, from gcc's call graphs (-fcallgraph-info=su), in bytes.
# Fails on recursion, on a frame whose size is not known when compiling, on one over FRAME, and on a
# chain over CHAIN (0: no limit). A call through a pointer counts POINTER bytes; functions of other
# libraries count nothing, nor does FATAL, which never returns. WHAT is the name to print.
/^node:/ {
    match($0, /title: "[^"]*"/); name = substr($0, RSTART + 8, RLENGTH - 9)
    if (match($0, /[0-9]+ bytes \([a-z,]+\)/)) {
        text = substr($0, RSTART, RLENGTH); frame[name] = text + 0
        if (text !~ /\(static\)|bounded/) fault("unbounded frame: " name)
        if (FRAME && frame[name] > FRAME) fault("frame of " frame[name] " > " FRAME ": " name)
    }
}
/^edge:/ {
    match($0, /sourcename: "[^"]*"/); from = substr($0, RSTART + 13, RLENGTH - 14)
    match($0, /targetname: "[^"]*"/); to = substr($0, RSTART + 13, RLENGTH - 14)
    edge[from, ++edges[from]] = to
}
function fault(what) { print what; bad = 1 }
function depth(name,  i, d, deepest, to) {
    if (name in done) return done[name]
    if (name in open) { fault("recursion through " name); return 0 }
    open[name]
    for (i = 1; i <= edges[name]; i++) {
        to = edge[name, i]
        d = to == "__indirect_call" ? POINTER : to == FATAL ? 0 : to in frame ? depth(to) : 0
        if (d > deepest) { deepest = d; next_of[name] = to }
    }
    delete open[name]
    return done[name] = frame[name] + deepest
}
function chain(name,  text) {
    for (text = name; name in next_of && text !~ /(.*>){8}/; name = next_of[name])
        text = text " > " next_of[name]
    return text
}
END {
    for (name in frame) {
        d = depth(name)
        if (d > worst) { worst = d; deepest_name = name }
        if (frame[name] > widest) { widest = frame[name]; widest_name = name }
        if (CHAIN && d > CHAIN) fault("chain of " d " > " CHAIN ": " chain(name))
    }
    print "note: " WHAT ": widest frame " widest " (" widest_name "), deepest chain " worst " (" deepest_name ")"
    exit bad
}

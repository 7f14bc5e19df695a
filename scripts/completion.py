#!/usr/bin/env python3
"""completion.py HUBCTL OUT - writes completion of hubctl for bash (OUT/hubctl) and zsh
(OUT/_hubctl), from what its --help says."""

import os
import sys

import help_text

FILES = ("--ca", "--token-file")

BASH = '''# bash completion for hubctl; made from its --help
_hubctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i
    COMPREPLY=()
    case $before in
    %(files)s)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return ;;
    --url) return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        %(files)s|--url) ((i++)) ;;
        -*) ;;
        *) command+="${command:+ }${COMP_WORDS[i]}" ;;
        esac
    done
    local words
    case $command in
    "") words="%(words)s %(options)s" ;;
    store) words="%(store)s" ;;
%(cases)s    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    [[ $command == store\\ * ]] && mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
}
complete -F _hubctl hubctl
'''

ZSH = '''#compdef hubctl
# zsh completion for hubctl; made from its --help
_hubctl() {
    local -a commands store options
    local command=
    commands=(
%(commands)s    )
    store=(
%(store)s    )
    for word in ${words[2,CURRENT-1]}; do
        [[ $word == -* ]] || { command=$word; break }
    done
    case $words[CURRENT-1] in
    %(files)s) _files; return ;;
    esac
    case $command in
    "") options=(%(options)s)
        _describe command commands
        compadd -a options ;;
    store) _describe 'store command' store; _files ;;
%(cases)s    esac
}
_hubctl "$@"
'''


def quoted(name, text):
    return "        '%s:%s'\n" % (name, text.replace("'", "'\\''").replace(":", "\\:"))


def main():
    program, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    top = help_text.Help(program)
    options = " ".join(option.split()[0] for option, _ in top.options)
    bash = zsh = ""
    for name, _ in top.commands:
        own = help_text.Help(program, *name.split()).options
        words = " ".join(option.split()[0] for option, _ in own)
        bash += '    "%s"*) words="%s" ;;\n' % (name, words)
        if " " not in name:
            zsh += "    %s) options=(%s); compadd -a options ;;\n" % (name, words)
    plain = [row for row in top.commands if " " not in row[0]]
    store = [(name.split()[1], text) for name, text in top.commands if name.startswith("store ")]
    with open(os.path.join(out, "hubctl"), "w", encoding="utf-8") as file:
        file.write(BASH % {"files": "|".join(FILES), "options": options, "cases": bash,
                           "words": " ".join([name for name, _ in plain] + ["store"]),
                           "store": " ".join(name for name, _ in store)})
    with open(os.path.join(out, "_hubctl"), "w", encoding="utf-8") as file:
        file.write(ZSH % {"files": "|".join(FILES), "options": options, "cases": zsh,
                          "commands": "".join(quoted(*row) for row in plain) +
                          quoted("store", "Look into a store file"),
                          "store": "".join(quoted(*row) for row in store)})


if __name__ == "__main__":
    main()

#!/bin/bash
# demo-certs.sh DIR DAYS [HUB...]: a private CA, a server certificate for localhost and a client
# certificate per hub (common name = hub id), for demos and tests. Writes NAME.crt and NAME.key
# (EC P-256, mode 0600). What is there already is kept, so that hubs can be added later.
# DAYS counts from now for server and hubs; 0 or less makes certificates that have expired.
set -euo pipefail
umask 077

if [[ $# -lt 2 || ! $2 =~ ^-?[0-9]+$ ]]; then
    echo "usage: $0 DIR DAYS [HUB...]" >&2
    exit 2
fi
dir=$1 days=$2
shift 2
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# `openssl ca` is the one command of OpenSSL 3.0 that sets both dates freely.
touch "$work/index"
cat > "$work/ca.conf" <<CONF
[ca]
default_ca = demo
[demo]
database = $work/index
new_certs_dir = $work
certificate = $dir/ca.crt
private_key = $dir/ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
policy = name
[name]
commonName = supplied
CONF

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

utc() {
    date -u -d "$1 days" +%Y%m%d%H%M%SZ
}

make_ca() {
    openssl req -x509 "${new_key[@]}" -keyout "$dir/ca.key" -out "$dir/ca.crt" -days 3650 \
        -subj "/CN=hubd demo CA" -addext keyUsage=critical,keyCertSign,cRLSign
}

# make_certificate NAME COMMON_NAME EXTENSIONS
make_certificate() {
    openssl req -new "${new_key[@]}" -keyout "$dir/$1.key" -out "$work/$1.csr" -subj "/CN=$2"
    printf '%s\n' 'basicConstraints = critical,CA:false' \
        'keyUsage = critical,digitalSignature' "$3" > "$work/$1.ext"
    local begin=-1
    if ((days <= 0)); then
        begin=$((days - 1))
    fi
    openssl ca -batch -notext -config "$work/ca.conf" -in "$work/$1.csr" -extfile "$work/$1.ext" \
        -startdate "$(utc "$begin")" -enddate "$(utc "$days")" -out "$dir/$1.crt"
}

{
    if [[ ! -e $dir/ca.crt ]]; then
        make_ca
    fi
    if [[ ! -e $dir/server.crt ]]; then
        make_certificate server localhost 'extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1'
    fi
    for hub in "$@"; do
        if [[ ! -e $dir/$hub.crt ]]; then
            make_certificate "$hub" "$hub" 'extendedKeyUsage = clientAuth'
        fi
    done
} > "$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}

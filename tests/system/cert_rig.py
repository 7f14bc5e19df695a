"""Certificates of every kind, good and bad, made with OpenSSL's commands."""

import os
import subprocess
import time

GOOD = ("basicConstraints = critical,CA:false", "keyUsage = critical,digitalSignature")
CLIENT, SERVER = "extendedKeyUsage = clientAuth", "extendedKeyUsage = serverAuth"
NAMES = "subjectAltName = DNS:localhost,IP:127.0.0.1"


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def utc(days):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400))


class Authority:
    """Signs into `folder`; `cert` and `key` are its own, made by somebody else."""

    def __init__(self, folder, cert, key, chain=()):
        self.folder, self.cert, self.key, self.chain = folder, cert, key, list(chain)
        self.config = os.path.join(folder, os.path.basename(cert) + ".conf")
        os.makedirs(folder, exist_ok=True)
        open(self.config + ".index", "w", encoding="ascii").close()
        with open(self.config, "w", encoding="ascii") as file:
            file.write("[ca]\ndefault_ca = d\n[d]\ndatabase = %s.index\nnew_certs_dir = %s\n"
                       "certificate = %s\nprivate_key = %s\nrand_serial = yes\n"
                       "unique_subject = no\npolicy = p\n[p]\ncommonName = optional\n"
                       "organizationName = optional\n" % (self.config, folder, cert, key))

    def issue(self, name, subject, extensions, days=(-1, 10), key="EC:P-256", digest="sha256"):
        """(certificate, key): the certificate's file holds the chain behind it."""
        base = os.path.join(self.folder, name)
        kind, size = key.split(":")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:" + size] if kind == "EC" \
            else ["-newkey", "rsa:" + size]
        run("openssl", "req", "-new", *new_key, "-nodes", "-keyout", base + ".key", "-out",
            base + ".csr", "-subj", subject)
        with open(base + ".ext", "w", encoding="ascii") as file:
            file.write("\n".join(extensions))
        run("openssl", "ca", "-batch", "-notext", "-config", self.config, "-md", digest, "-in",
            base + ".csr", "-extfile", base + ".ext", "-startdate", utc(days[0]), "-enddate",
            utc(days[1]), "-out", base + ".crt")
        os.chmod(base + ".key", 0o600)
        for above in self.chain:
            with open(above, encoding="ascii") as source, \
                    open(base + ".crt", "a", encoding="ascii") as target:
                target.write(source.read())
        return base + ".crt", base + ".key"

    def below(self, name):
        """An authority that this one has signed."""
        cert, key = self.issue(name, "/CN=" + name, (
            "basicConstraints = critical,CA:true", "keyUsage = critical,keyCertSign"))
        with open(cert, encoding="ascii") as file:
            own = file.read().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
        with open(cert, "w", encoding="ascii") as file:
            file.write(own)
        return Authority(self.folder, cert, key, [cert] + self.chain)


def self_signed(folder, name, subject, extensions):
    base = os.path.join(folder, name)
    added = [word for one in extensions for word in ("-addext", one.replace(" = ", "="))]
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", base + ".key", "-out", base + ".crt", "-days", "10", "-subj", subject, *added)
    return base + ".crt", base + ".key"


def damaged(cert):
    """The same certificate with one bit of its signature changed, in a file of its own."""
    path = cert.replace(".crt", "-damaged.crt")
    run("openssl", "x509", "-in", cert, "-outform", "DER", "-out", path + ".der")
    with open(path + ".der", "rb") as file:
        der = bytearray(file.read())
    der[-3] ^= 1
    with open(path + ".der", "wb") as file:
        file.write(der)
    run("openssl", "x509", "-inform", "DER", "-in", path + ".der", "-out", path)
    return path


class Kinds:
    """What may be wrong with a peer's certificate: kind -> (certificate, key). The common name of
    each is bad-KIND; `usage` is what it is to be for, and `extensions` stand in each."""

    def __init__(self, folder, certs, usage, other_usage, extensions=()):
        self.ca = Authority(folder, certs + "/ca.crt", certs + "/ca.key")
        self.extensions = extensions
        self.bad = {}
        good = (*GOOD, usage, *extensions)
        stranger = self_signed(folder, "stranger-ca", "/CN=hubd demo CA", (
            "keyUsage = critical,keyCertSign",))
        deep = self.ca
        for level in range(9):
            deep = deep.below("level-%d" % level)
        self.add("expired", good, days=(-3, -1))
        self.add("future", good, days=(1, 10))
        self.add("other_ca", good, Authority(folder, *stranger))
        self.bad["self_signed"] = self_signed(folder, "self_signed", "/CN=bad-self_signed", good)
        self.add("usage", (GOOD[0], "keyUsage = critical,keyAgreement", usage, *extensions))
        self.add("extended_usage", (*GOOD, other_usage, *extensions))
        self.add("sha1", good, digest="sha1")
        self.add("small_rsa", good, key="RSA:1024")
        self.add("odd_curve", good, key="EC:secp256k1")
        self.add("deep", good, deep)
        self.add("damaged", good)
        self.bad["damaged"] = (damaged(self.bad["damaged"][0]), self.bad["damaged"][1])

    def add(self, kind, extensions, ca=None, **more):
        self.bad[kind] = (ca or self.ca).issue(kind, "/CN=bad-" + kind, extensions, **more)

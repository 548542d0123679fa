#!/usr/bin/env python3
"""Builds the images of the end-to-end tests and pushes them to a registry.

  images.py HOST:PORT REGISTRY_DATA

Only the standard library, busybox (static) and zstd. REGISTRY_DATA is the folder in which the registry keeps its blobs:
images that must be broken in transit are broken there, after the registry has checked them.
"""
import gzip
import hashlib
import http.client
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

EPOCH = 1700000000
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PASSWD = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = "root:x:0:\nuser:x:1000:\nextra:x:2000:user\nnogroup:x:65534:\n"


class Layer:
    def __init__(self):
        self.out = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.out, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, path, mode, kind=tarfile.REGTYPE, data=b"", link="", uid=0, gid=0):
        entry = tarfile.TarInfo(path)
        entry.mode, entry.type, entry.mtime, entry.linkname = mode, kind, EPOCH, link
        entry.uid, entry.gid, entry.size = uid, gid, len(data)
        self.tar.addfile(entry, io.BytesIO(data))
        return self

    def folder(self, path, mode=0o755, **kw):
        return self.add(path, mode, tarfile.DIRTYPE, **kw)

    def file(self, path, text, mode=0o644, **kw):
        return self.add(path, mode, data=text if isinstance(text, bytes) else text.encode(), **kw)

    def link(self, path, to):
        return self.add(path, 0o777, tarfile.SYMTYPE, link=to)

    def hard_link(self, path, to):
        return self.add(path, 0o644, tarfile.LNKTYPE, link=to)

    def bytes(self):
        self.tar.close()
        return self.out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    def __init__(self, host, data):
        self.http = http.client.HTTPConnection(host, timeout=30)
        self.data = data

    def request(self, method, path, body=None, headers=None, want=()):
        self.http.request(method, path, body=body, headers=headers or {})
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status not in want:
            raise SystemExit(f"{method} {path}: {answer.status} {text[:300]!r}")
        return answer

    def blob(self, name, data):
        if self.request("HEAD", f"/v2/{name}/blobs/{digest(data)}", want=(200, 404)).status == 200:
            return
        start = self.request("POST", f"/v2/{name}/blobs/uploads/", want=(202,))
        place = start.getheader("Location").split("//", 1)[-1]
        place = "/" + place.split("/", 1)[1] if not place.startswith("/") else place
        self.request("PUT", f"{place}&digest={digest(data)}", body=data,
                     headers={"Content-Type": "application/octet-stream"}, want=(201,))

    def manifest(self, name, tag, value, media_type):
        text = json.dumps(value).encode()
        self.request("PUT", f"/v2/{name}/manifests/{tag}", body=text, headers={"Content-Type": media_type}, want=(201,))
        return {"mediaType": media_type, "digest": digest(text), "size": len(text)}

    def stored(self, blob_digest):
        hexa = blob_digest.split(":")[1]
        return os.path.join(self.data, "docker/registry/v2/blobs/sha256", hexa[:2], hexa, "data")

    def image(self, name, tag, layers, config=None, compress="gzip", arch="amd64", diff_ids=None, flags=()):
        """Pushes one image; returns its manifest's descriptor and its layers' digests."""
        name = "e2e/" + name
        descriptors = []
        for tar in layers:
            if compress == "gzip":
                packed = gzip.compress(tar, 1, mtime=0)
            elif compress == "zstd":
                packed = subprocess.run(["zstd", "-q", "-1", "-c", *flags], input=tar, stdout=subprocess.PIPE, check=True).stdout
            else:
                packed = tar
            self.blob(name, packed)
            suffix = "+" + compress if compress else ""
            descriptors.append({"mediaType": "application/vnd.oci.image.layer.v1.tar" + suffix,
                                "digest": digest(packed), "size": len(packed)})
        image = {"created": "2023-11-14T22:13:20Z", "architecture": arch, "os": "linux",
                 "config": config or {"Env": [PATH], "Cmd": ["sh"]},
                 "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(tar) for tar in layers]}}
        text = json.dumps(image).encode()
        self.blob(name, text)
        value = {"schemaVersion": 2, "mediaType": MANIFEST,
                 "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(text),
                            "size": len(text)}, "layers": descriptors}
        return self.manifest(name, tag, value, MANIFEST), [one["digest"] for one in descriptors]

    def artifact(self, name, tag, files):
        """Pushes an OCI artifact with these files."""
        name = "e2e/" + name
        layers = []
        for title, data in files.items():
            self.blob(name, data)
            layers.append({"mediaType": "application/octet-stream", "digest": digest(data), "size": len(data),
                           "annotations": {"org.opencontainers.image.title": title}})
        self.blob(name, b"{}")
        self.manifest(name, tag, {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x-model",
                                  "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2},
                                  "layers": layers}, MANIFEST)


def busybox():
    program = shutil.which("busybox")
    with open(program, "rb") as f:
        data = f.read()
    layer = Layer()
    for path, mode in (("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("proc", 0o755), ("root", 0o700),
                       ("run", 0o755), ("sys", 0o755), ("tmp", 0o1777), ("usr", 0o755), ("var", 0o755)):
        layer.folder(path, mode)
    layer.file("bin/busybox", data, 0o755)
    for applet in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            layer.link("bin/" + applet, "busybox")
    layer.folder("home/user", 0o755, uid=1000, gid=1000)
    return layer.file("etc/passwd", PASSWD).file("etc/group", GROUP).bytes()


def whiteouts(base):
    below = Layer().folder("data").file("data/keep", "keep\n").file("data/gone", "gone\n").folder("data/tree")
    below.file("data/tree/old", "old\n").file("data/linked", "linked\n").folder("data/removed").file("data/removed/x", "x\n")
    middle = Layer().folder("data").file("data/.wh.gone", "").file("data/.wh.removed", "").folder("data/tree")
    middle.file("data/tree/.wh..wh..opq", "").file("data/tree/new", "new\n").hard_link("data/second", "data/linked")
    top = Layer().folder("data").file("data/gone", "back\n").file("data/setuid", "#!/bin/sh\n", 0o4755)
    top.file("data/owned", "owned\n", 0o640, uid=1000, gid=2000)
    return [base, below.bytes(), middle.bytes(), top.bytes()]


def main():
    host, data = sys.argv[1:]
    registry = Registry(host, data)
    base = busybox()
    registry.image("busybox", "1", [base])
    registry.image("busybox", "zstd", [base, Layer().file("zstd", "zstd\n").bytes()], compress="zstd")
    registry.image("busybox", "plain", [base, Layer().file("plain", "plain\n").bytes()], compress="")
    registry.artifact("model", "1", {"weights/part.bin": b"weights\n", "card.txt": b"card\n"})
    registry.image("whiteouts", "1", whiteouts(base))
    registry.image("config", "1", [base], {"Env": [PATH, "FROM_IMAGE=yes"], "User": "user", "WorkingDir": "/home/user",
                                            "Entrypoint": ["sh", "-c"], "Cmd": ["id -u; pwd; echo $FROM_IMAGE"],
                                            "StopSignal": "SIGUSR1"})
    # Links where mounts, volumes and the working folder go: to a folder that only the image has.
    links = Layer().folder("var/berth-e2e-escape").link("data", "/var/berth-e2e-escape").link("up", "../../../../var/berth-e2e-escape")
    links.link("etc/hosts", "/var/berth-e2e-escape/hosts").link("etc/resolv.conf", "../../../../var/berth-e2e-escape/resolv.conf")
    registry.image("links", "1", [base, links.bytes()], {"Env": [PATH], "WorkingDir": "/up/work", "Volumes": {"/data/volume": {}}})
    # Neither the first nor the only entry is the one for this machine.
    entries = []
    for arch in ("arm64", "amd64"):
        marked = Layer().file("architecture", arch + "\n").bytes()
        entry, _ = registry.image("index", arch, [base, marked], arch=arch)
        entries.append(dict(entry, platform={"os": "linux", "architecture": arch}))
    registry.manifest("e2e/index", "1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
    registry.manifest("e2e/index", "foreign", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[:1]}, INDEX)

    # 24 MB that do not compress: long enough to be interrupted.
    noise = b"".join(hashlib.sha512(b"%d" % n).digest() for n in range(24 * 1024 * 1024 // 64))
    registry.image("big", "1", [base, Layer().file("noise", noise).bytes()])

    # Three layers that each need 32 MiB to be unpacked, and one that needs 128.
    wide = [Layer().file(f"wide{n}", noise[n << 20:(n + 1) << 20] * 36).bytes() for n in range(3)]
    registry.image("wide", "1", [base, *wide], compress="zstd", flags=["--long=25"])
    registry.image("wide", "huge", [base, Layer().file("huge", "huge\n").bytes()], compress="zstd", flags=["--long=27"])

    # A layer whose bytes are not what its digest says, one whose archive is not what the config says, one that is cut off.
    _, layers = registry.image("corrupt", "1", [base, Layer().file("corrupt", "corrupt\n").bytes()])
    with open(registry.stored(layers[1]), "r+b") as f:
        f.seek(-9, os.SEEK_END)
        byte = f.read(1)
        f.seek(-9, os.SEEK_END)
        f.write(bytes([byte[0] ^ 1]))
    registry.image("mismatch", "1", [base], diff_ids=["sha256:" + "0" * 64])
    _, layers = registry.image("short", "1", [base, Layer().file("short", b"s" * 100000).bytes()], compress="")
    os.truncate(registry.stored(layers[1]), 5000)
    escape = Layer().link("out", "/").file("out/escaped-from-layer", "x\n").file("../../../escaped-from-layer", "x\n")
    registry.image("escape", "1", [base, escape.bytes()])


if __name__ == "__main__":
    main()

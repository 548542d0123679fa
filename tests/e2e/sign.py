#!/usr/bin/env python3
"""Signs an image in a registry as cosign does with a key.

  sign.py HOST:PORT REPOSITORY TAG KEY.pem SIGNED_NAME {tag|referrer}

"tag" leaves the signature under sha256-<hex>.sig, "referrer" in the list of referrers that lies under sha256-<hex>, where
registries without the referrers call have it. Prints the digest that was signed.
"""
import base64
import json
import os
import subprocess
import sys
import tempfile

from e2e_images import INDEX, MANIFEST, Registry, digest

ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"


def main():
    host, repository, tag, key, name, place = sys.argv[1:]
    registry = Registry(host, "")
    answer = registry.request("HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": f"{MANIFEST}, {INDEX}"}, want=(200,))
    signed = answer.getheader("Docker-Content-Digest")
    subject = {"mediaType": answer.getheader("Content-Type"), "digest": signed, "size": int(answer.getheader("Content-Length"))}
    payload = json.dumps({"critical": {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": signed},
                                       "type": "cosign container image signature"}, "optional": None}).encode()
    with tempfile.NamedTemporaryFile() as file:
        file.write(payload)
        file.flush()
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, file.name], capture_output=True, check=True).stdout
    config = b"{}"
    registry.blob(repository, payload)
    registry.blob(repository, config)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": len(config)},
                "layers": [{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": digest(payload),
                            "size": len(payload),
                            "annotations": {"dev.cosignproject.cosign/signature": base64.b64encode(signature).decode()}}]}
    hexa = signed.replace(":", "-")
    if place == "tag":
        registry.manifest(repository, hexa + ".sig", manifest, MANIFEST)
    else:
        manifest.update({"subject": subject, "artifactType": ARTIFACT})
        entry = registry.manifest(repository, "signature-of-" + os.path.basename(key).split(".")[0], manifest, MANIFEST)
        registry.manifest(repository, hexa, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [dict(entry, artifactType=ARTIFACT)]}, INDEX)
    print(signed, end="")


if __name__ == "__main__":
    main()

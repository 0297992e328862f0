//! Images that a node cannot get or run.

use super::{CauseSource, FATAL, GiveUpAfter, KnownCause, START, TWICE};

pub(super) static CAUSES: &[&KnownCause] = &[
    &KnownCause {
        code: "C001",
        name: "image-name-invalid",
        sources: &[CauseSource::State],
        reasons: &["InvalidImageName", "ErrImageNeverPull"],
        message: "the image name is not valid: {image}",
        remedy: "correct 'image' in projects.yaml",
        explanation: "The reference of the image cannot be parsed, or the node may not pull it and does not have it.",
        example: "Failed to apply default image tag \"Shop:1\": couldn't parse image name \"Shop:1\": invalid \
            reference format: repository name (library/Shop) must be lowercase",
        ..FATAL
    },
    &KnownCause {
        code: "C002",
        name: "image-wrong-platform",
        sources: &[CauseSource::Pull],
        parts: &["no match for platform", "no matching manifest for"],
        message: "the image has no variant for the CPU architecture of the node: {image}",
        remedy: "build it for this architecture (docker build --platform), or use an image that supports it",
        explanation: "An image contains programs for certain processors only, such as amd64. The node has another one, \
            such as arm64.",
        example: "failed to pull and unpack image \"docker.io/me/app:1\": no match for platform in manifest \
            sha256:4d1c: not found",
        budget: TWICE,
        ..FATAL
    },
    &KnownCause {
        code: "C003",
        name: "registry-certificate",
        sources: &[CauseSource::Pull],
        parts: &["x509"],
        message: "the registry's certificate is not trusted: {image}: {message}",
        remedy: "set CMDR_CA, or 'ca' in cmdr's configuration, to your company's certificate authority",
        explanation: "The registry, or a proxy in front of it, has a certificate of an authority that the node does not \
            know.",
        example: "failed to do request: Head \"https://r.example/v2/app/manifests/1\": tls: failed to verify \
            certificate: x509: certificate signed by unknown authority",
        budget: TWICE,
        ..FATAL
    },
    &KnownCause {
        code: "C004",
        name: "registry-rate-limit",
        sources: &[CauseSource::Pull],
        parts: &["toomanyrequests", "429 too many requests", "rate limit"],
        message: "the registry's rate limit is exceeded: {image}",
        remedy: "wait, or log in with 'docker login' for a higher limit and run cmdr up again",
        explanation: "Registries limit pulls per hour, Docker Hub by address if there is no login. The limit ends by \
            itself.",
        example: "unexpected status code 429 Too Many Requests - Server message: toomanyrequests: You have reached \
            your unauthenticated pull rate limit",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &REGISTRY_DENIED,
    &KnownCause {
        code: "C006",
        name: "image-schema-too-old",
        sources: &[CauseSource::Pull],
        parts: &["is no longer supported since containerd"],
        message: "the image has a manifest format that the node does not support: {image}",
        remedy: "build or push the image again with a current Docker, or use a newer tag",
        explanation: "The image was pushed with the manifest format of Docker before 2017, which containerd 2.1 and later \
            refuse.",
        example: "not implemented: media type \"application/vnd.docker.distribution.manifest.v1+prettyjws\" is no \
            longer supported since containerd v2.1, please rebuild the image",
        budget: TWICE,
        ..FATAL
    },
    &IMAGE_NOT_FOUND,
    &KnownCause {
        code: "C008",
        name: "node-disk-full-pull",
        sources: &[CauseSource::Pull],
        parts: &["no space left on device"],
        message: "the node has no disk space for {image}",
        remedy: "free disk space: docker builder prune, docker image prune; cmdr doctor shows how much is free",
        explanation: "Images are unpacked on the disk of the node, which in a local cluster is Docker's disk.",
        example: "failed to extract layer sha256:11ab: write \
            /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/7/fs/lib: no space left on \
            device",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C009",
        name: "image-damaged",
        sources: &[CauseSource::Pull],
        parts: &[
            "unexpected commit digest",
            "failed size validation",
            "failed to extract layer",
            "unexpected eof",
            "short read",
        ],
        message: "a layer of the image is damaged or incomplete: {image}: {message}",
        remedy: "push the image again; behind a proxy or a mirror, remove the image from its cache",
        explanation: "What the registry sent differs from its checksum, or the transfer ended early. The node tries again.",
        example: "failed commit on ref \"layer-sha256:77\": unexpected commit digest sha256:1, expected sha256:77: \
            failed precondition",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C010",
        name: "registry-server-error",
        sources: &[CauseSource::Pull],
        parts: &["500 internal server error", "502 bad gateway", "503 service unavailable", "504 gateway time"],
        message: "the registry has a server error: {image}: {message}",
        remedy: "wait: the node tries again; if it lasts, see the status page or the log of the registry",
        explanation: "The registry or a proxy in front of it responds with a status of 500 or more.",
        example: "unexpected status from HEAD request to https://r.example/v2/app/manifests/1: 503 Service Unavailable",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C011",
        name: "registry-unreachable",
        sources: &[CauseSource::Pull],
        parts: &[
            "i/o timeout",
            "connection refused",
            "no such host",
            "connection reset",
            "tls handshake timeout",
            "context deadline exceeded",
            "network is unreachable",
            "server misbehaving",
        ],
        message: "cannot pull {image}: no response from the registry: {message}",
        remedy: "check the node's connection to the registry; set mirrors, certificates and HTTPS_PROXY for networks \
            without internet access",
        explanation: "The node cannot resolve the name of the registry or connect to it. A proxy or a firewall may be in \
            between.",
        example: "failed to do request: Head \"https://r.example/v2/app/manifests/1\": dial tcp: lookup r.example on \
            172.18.0.1:53: i/o timeout",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &KnownCause {
        code: "C012",
        name: "image-pull-failed",
        sources: &[CauseSource::Pull],
        message: "cannot pull {image}: {message}",
        remedy: "check the node's connection to the registry; set mirrors and certificates in cmdr's configuration",
        explanation: "The node cannot pull the image for a reason that cmdr does not know. The message is that of the \
            node.",
        example: "rpc error: code = Unknown desc = failed to pull and unpack image",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
    &IMAGE_ONLY_IN_DOCKER,
    &IMAGE_MOVED,
    &KnownCause {
        code: "C015",
        name: "image-runs-on-wrong-platform",
        sources: &[CauseSource::State, CauseSource::Log],
        reasons: START,
        parts: &["exec format error"],
        message: "the image of {who} is for another CPU architecture: {image}",
        remedy: "build it for this machine's architecture (docker build --platform), or use an image that supports it",
        explanation: "The image was pulled, but its program is for another processor, or a script in it has no #! line.",
        example: "exec /usr/local/bin/app: exec format error",
        ..FATAL
    },
];

/// Docker Hub answers so for images that do not exist, too.
pub static REGISTRY_DENIED: KnownCause = KnownCause {
    code: "C005",
    name: "registry-denied",
    sources: &[CauseSource::Pull],
    parts: &[
        "denied",
        "unauthorized",
        "403 forbidden",
        "status code 401",
        "status code 403",
        "authentication required",
        "authorization failed",
        "no basic auth credentials",
    ],
    message: "the registry denied access: {image}",
    remedy: "log in with 'docker login', then run cmdr up again: it copies the credentials to the cluster; if the \
        image is public, check its name",
    explanation: "The credentials are missing or do not permit this image. Docker Hub also answers so for images that do \
        not exist.",
    example: "pull access denied, repository does not exist or may require authorization: server message: \
        insufficient_scope: authorization failed",
    budget: TWICE,
    ..FATAL
};

/// The registry does not have the image.
pub static IMAGE_NOT_FOUND: KnownCause = KnownCause {
    code: "C007",
    name: "image-not-found",
    sources: &[CauseSource::Pull],
    parts: &["not found", "notfound", "manifest unknown", "name unknown", "does not exist"],
    message: "image not found: {image}",
    remedy: "check the name and the tag of 'image' in projects.yaml, and that the image was pushed",
    explanation: "The registry responds, but does not have this repository or tag.",
    example: "failed to resolve reference \"docker.io/library/redis:7.x\": docker.io/library/redis:7.x: not found",
    budget: TWICE,
    ..FATAL
};

/// Docker on this machine has an image that no registry has.
pub static IMAGE_ONLY_IN_DOCKER: KnownCause = KnownCause {
    code: "C013",
    name: "image-only-in-docker",
    sources: &[CauseSource::Run],
    message: "image not found in any registry, only in Docker on this machine: {image}",
    remedy: "let cmdr build it with 'build' in projects.yaml, or push it to the local registry",
    explanation: "docker build stores an image in Docker. The nodes of a cluster pull images from registries and do not \
        see it.",
    example: "image: shop:dev",
    ..FATAL
};

/// The running image is not that of the record.
pub static IMAGE_MOVED: KnownCause = KnownCause {
    code: "C014",
    name: "image-moved",
    sources: &[CauseSource::Run],
    message: "pods are running a different image from the one deployed",
    remedy: "a tag has moved since it was resolved: deploy again, or use a digest",
    explanation: "A tag can be pushed again. The pods then run another image than the one that the record names.",
    example: "docker.io/library/nginx@sha256:aaaa",
    ..FATAL
};

//! Errors of Helm, for releases and for charts.

use super::{CauseSource, FATAL, GiveUpAfter, KnownCause};

pub(super) static CAUSES: &[&KnownCause] = &[
    &KnownCause {
        code: "C150",
        name: "release-locked",
        sources: &[CauseSource::Helm],
        parts: &["another operation (install/upgrade/rollback) is in progress"],
        message: "another Helm operation on this release is in progress",
        remedy: "wait for it to finish, then run cmdr up again",
        explanation: "Helm marks a release while it changes it. An interrupted Helm leaves this mark; cmdr removes it at \
            its next run.",
        example: "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
        ..FATAL
    },
    &KnownCause {
        code: "C151",
        name: "field-conflict",
        sources: &[CauseSource::Helm],
        parts: &["conflict with"],
        message: "another field manager has changed fields that the chart sets",
        remedy: "see the changes with cmdr status; --repair reverts them",
        explanation: "kubectl or a controller owns a field that the chart sets to another value.",
        example: "Error: UPGRADE FAILED: conflict occurred while applying object shop/shop apps/v1, Kind=Deployment: \
            Apply failed with 1 conflict: conflict with \"kubectl-edit\" using apps/v1: .spec.replicas",
        ..FATAL
    },
    &KnownCause {
        code: "C152",
        name: "object-of-another-tool",
        sources: &[CauseSource::Helm],
        parts: &["invalid ownership metadata"],
        message: "an object of the chart already exists and is managed by another tool",
        remedy: "delete it, or take it over with --adopt",
        explanation: "Helm changes only objects that carry the labels of the release.",
        example: "Error: INSTALLATION FAILED: unable to continue with install: Service \"shop\" in namespace \"shop\" \
            exists and cannot be imported into the current release: invalid ownership metadata",
        ..FATAL
    },
    &KIND_MISSING,
    &WEBHOOK_NO_RESPONSE,
    &KnownCause {
        code: "C155",
        name: "immutable-field",
        sources: &[CauseSource::Helm],
        parts: &["field is immutable"],
        message: "an immutable field was changed",
        remedy: "undo the change, or delete the object in the message and run cmdr up again",
        explanation: "Some fields can only be set when an object is created, such as the selector of a Deployment or the \
            template of a Job.",
        example: "Error: UPGRADE FAILED: cannot patch \"shop\" with kind Job: spec.template: Invalid value: field is \
            immutable",
        ..FATAL
    },
    &KnownCause {
        code: "C156",
        name: "grace-too-short",
        sources: &[CauseSource::Helm],
        parts: &["less than terminationGracePeriodSeconds"],
        message: "the grace period of the pods is shorter than their drain time",
        remedy: "set values.grace higher than values.drain",
        explanation: "Kubernetes requires the grace period to be longer than the sleep before the end.",
        example: "must be greater than 0 and less than terminationGracePeriodSeconds (1)",
        ..FATAL
    },
    &KnownCause {
        code: "C157",
        name: "node-port-in-use",
        sources: &[CauseSource::Helm],
        parts: &["provided port is already allocated"],
        message: "the node port is used by another Service, or still reserved by an interrupted request",
        remedy: "leave the node port of the chart empty or choose another one: kubectl get services -A shows those in \
            use, Traefik has 30047 and 30059 in a local cluster, and an orphaned port is released within ten \
            minutes",
        explanation: "A node port exists once per cluster.",
        example: "Service \"shop\" is invalid: spec.ports[0].nodePort: Invalid value: 30047: provided port is already \
            allocated",
        ..FATAL
    },
    &KnownCause {
        code: "C158",
        name: "permission-missing",
        sources: &[CauseSource::Helm],
        parts: &["is forbidden: User"],
        message: "the account that cmdr uses does not have permission for this",
        remedy: "add the rule in the message to its role",
        explanation: "The role of the account in the kubeconfig lacks a rule. The message names verb, resource and \
            namespace.",
        example: "secrets is forbidden: User \"x\" cannot list resource \"secrets\" in API group \"\" in the namespace \
            \"shop\"",
        ..FATAL
    },
    &KnownCause {
        code: "C159",
        name: "request-rejected",
        sources: &[CauseSource::Helm],
        parts: &["is forbidden"],
        message: "the cluster rejected a request",
        remedy: "fix the error in the message, or ask the owner of the cluster",
        explanation: "An admission plugin or the validation of the cluster refuses the object.",
        example: "pods \"a\" is forbidden: no reason",
        ..FATAL
    },
    &KnownCause {
        code: "C160",
        name: "chart-template-error",
        sources: &[CauseSource::Helm],
        parts: &["execution error at", "nil pointer evaluating", "error calling include", "parse error at"],
        message: "a template of the chart failed",
        remedy: "correct the value or the line of the template in the message; cmdr render shows the result",
        explanation: "The chart cannot be rendered with these values: a required value is missing, or the template has an \
            error.",
        example: "Error: execution error at (app/templates/all.yaml:3:4): image is required",
        ..FATAL
    },
    &KnownCause {
        code: "C161",
        name: "chart-yaml-invalid",
        sources: &[CauseSource::Helm],
        parts: &["YAML parse error on", "error converting YAML to JSON"],
        message: "the chart renders invalid YAML",
        remedy: "cmdr render shows the manifests; check indentation and quotes at the line in the message",
        explanation: "A template produced text that is not valid YAML, often because of a value without quotes.",
        example: "Error: YAML parse error on app/templates/all.yaml: error converting YAML to JSON: yaml: line 7: \
            mapping values are not allowed",
        ..FATAL
    },
    &KnownCause {
        code: "C162",
        name: "chart-values-invalid",
        sources: &[CauseSource::Helm],
        parts: &["don't meet the specifications of the schema"],
        message: "the values do not match the schema of the chart",
        remedy: "correct the values in the message: see values.schema.json of the chart",
        explanation: "The chart has a schema for its values, and a value has the wrong type or an unknown name.",
        example: "Error: values don't meet the specifications of the schema(s) in the following chart(s): app: \
            replicas: got string, want integer",
        ..FATAL
    },
    &KnownCause {
        code: "C163",
        name: "release-name-in-use",
        sources: &[CauseSource::Helm],
        parts: &["cannot re-use a name"],
        message: "a release with this name already exists",
        remedy: "remove it, or take it over with --adopt: helm list -A",
        explanation: "Helm has a release of the same name in this namespace that is in no state to be upgraded.",
        example: "Error: INSTALLATION FAILED: cannot re-use a name that is still in use",
        ..FATAL
    },
    &CLUSTER_UNREACHABLE,
    &HOOK_FAILED,
    &KnownCause {
        code: "C166",
        name: "chart-certificate",
        sources: &[CauseSource::Chart],
        parts: &["x509"],
        message: "the certificate of the chart's repository is not trusted",
        remedy: "add the company's certificate authority to the trust store of this system, or configure a mirror",
        explanation: "The repository, or a proxy in front of it, has a certificate of an authority that this machine does \
            not know.",
        example: "Error: looks like \"https://charts.example\" is not a valid chart repository: tls: failed to verify \
            certificate: x509: certificate signed by unknown authority",
        ..FATAL
    },
    &KnownCause {
        code: "C167",
        name: "chart-login-required",
        sources: &[CauseSource::Chart],
        parts: &["401 Unauthorized"],
        message: "the chart repository requires a login",
        remedy: "add it to Helm with your login: helm repo add NAME URL --username USER --password-stdin",
        explanation: "The repository responds with 401, and Helm has no user and password for it.",
        example: "failed to fetch http://a/index.yaml : 401 Unauthorized",
        ..FATAL
    },
    &KnownCause {
        code: "C168",
        name: "chart-login-refused",
        sources: &[CauseSource::Chart],
        parts: &["403 Forbidden"],
        message: "the login of the chart repository does not have access to the chart",
        remedy: "use another login: helm repo add NAME URL --username USER --password-stdin --force-update",
        explanation: "The repository knows the user, who may not read this chart.",
        example: "failed to fetch http://a/index.yaml : 403 Forbidden",
        ..FATAL
    },
    &KnownCause {
        code: "C169",
        name: "chart-registry-login-required",
        sources: &[CauseSource::Chart],
        parts: &["basic credential not found"],
        message: "the registry of the chart requires a login",
        remedy: "log in: helm registry login",
        explanation: "Helm has no credentials for the OCI registry.",
        example: "failed to perform \"FetchReference\" on source: GET \"http://a/v2/x/manifests/1.0.0\": basic \
            credential not found",
        ..FATAL
    },
    &KnownCause {
        code: "C170",
        name: "chart-registry-denied",
        sources: &[CauseSource::Chart],
        parts: &["unauthorized"],
        message: "the registry denied access to the chart",
        remedy: "log in: helm registry login",
        explanation: "The credentials are missing, expired, or do not permit this chart.",
        example: "failed to authorize: failed to fetch oauth token: unauthorized: authentication required",
        ..FATAL
    },
    &KnownCause {
        code: "C171",
        name: "chart-repository-not-found",
        sources: &[CauseSource::Chart],
        parts: &["404 Not Found"],
        message: "chart or repository not found",
        remedy: "check 'chart' in projects.yaml: the URL, the name and the version",
        explanation: "The server responds with 404: the URL is not that of a chart repository, or the chart does not \
            exist.",
        example: "failed to fetch http://a/index.yaml : 404 Not Found",
        ..FATAL
    },
    &KnownCause {
        code: "C172",
        name: "chart-not-found",
        sources: &[CauseSource::Chart],
        parts: &["not found"],
        message: "chart not found",
        remedy: "check its name and version under 'chart' in projects.yaml",
        explanation: "The repository or registry responds, but does not have this chart or version.",
        example: "failed to perform \"FetchReference\" on source: a/x:1.0.0: not found",
        ..FATAL
    },
    &KnownCause {
        code: "C173",
        name: "chart-fetch-failed",
        sources: &[CauseSource::Chart],
        message: "cannot fetch the chart",
        remedy: "check the connection to its repository, or set a mirror with CMDR_CHART_MIRRORS",
        explanation: "Helm cannot read the chart for a reason that cmdr does not know.",
        example: "Get \"https://charts.example/index.yaml\": dial tcp: lookup charts.example: no such host",
        ..FATAL
    },
];

/// A kind without an API, which an operator may still provide.
pub static KIND_MISSING: KnownCause = KnownCause {
    code: "C153",
    name: "kind-missing",
    sources: &[CauseSource::Helm],
    parts: &["no matches for kind", "could not find the requested resource"],
    message: "the chart uses a kind that is not installed in the cluster",
    remedy: "install its CustomResourceDefinition first: an entry of 'platform' in projects.yaml",
    explanation: "The cluster has no API for this kind. cmdr waits for it while a release of the platform is being \
        installed.",
    example: "Error: unable to build kubernetes objects from release manifest: resource mapping not found for name: \
        \"one\": no matches for kind \"Thing\" in version \"example.test/v1\"",
    ..FATAL
};

/// A webhook that an operator may still provide.
pub static WEBHOOK_NO_RESPONSE: KnownCause = KnownCause {
    code: "C154",
    name: "webhook-no-response",
    sources: &[CauseSource::Helm],
    parts: &["failed calling webhook", "conversion webhook for"],
    message: "a webhook of the cluster does not respond",
    remedy: "check the pods of the operator that it belongs to, and run cmdr up again",
    explanation: "The API server calls a webhook before it accepts a change. cmdr waits for it while a release of the \
        platform is being installed.",
    example: "Error: UPGRADE FAILED: Internal error occurred: failed calling webhook \"w.example.com\": no endpoints \
        available for service \"w\"",
    ..FATAL
};

/// The API server is temporarily unavailable.
pub static CLUSTER_UNREACHABLE: KnownCause = KnownCause {
    code: "C164",
    name: "cluster-unreachable",
    sources: &[CauseSource::Helm],
    parts: &[
        "etcdserver: request timed out",
        "etcdserver: leader changed",
        "http2: client connection lost",
        "connection refused",
        "connection reset by peer",
        "TLS handshake timeout",
        "unexpected EOF",
        "the server is currently unable to handle the request",
    ],
    message: "cannot connect to the cluster",
    remedy: "check that it is running: cmdr doctor",
    explanation: "The API server does not respond or closes connections, for example while it starts. cmdr sends the \
        request again.",
    example: "Error: Kubernetes cluster unreachable: Get \"https://127.0.0.1:6443/version\": dial tcp 127.0.0.1:6443: \
        connect: connection refused",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A hook of a chart failed.
pub static HOOK_FAILED: KnownCause = KnownCause {
    code: "C165",
    name: "hook-failed",
    sources: &[CauseSource::Helm],
    parts: &["failed pre-", "failed post-", "hooks failed"],
    message: "a hook of the chart failed",
    remedy: "read the log of its pod, correct it and run cmdr up again",
    explanation: "A chart can start Jobs before and after an installation, for example migrations. One of them failed.",
    example: "Error: INSTALLATION FAILED: failed pre-install: 1 error occurred: job app-migrate failed: \
        BackoffLimitExceeded",
    ..FATAL
};

//! Requests that the API server refuses although the account has permission.

use super::{CauseSource, FATAL, GiveUpAfter, KnownCause, SOON};

pub(super) static CAUSES: &[&KnownCause] = &[
    &KnownCause {
        code: "C180",
        name: "namespace-being-deleted",
        sources: &[CauseSource::Refusal],
        parts: &["because it is being terminated"],
        message: "the namespace is being deleted",
        remedy: "wait until it is gone (kubectl get namespaces), then run the command again; the status of the \
            namespace names what holds it up",
        explanation: "A namespace that is being deleted accepts no new objects.",
        example: "configmaps \"a\" is forbidden: unable to create new content in namespace x because it is being \
            terminated",
        ..FATAL
    },
    &KnownCause {
        code: "C181",
        name: "quota-exceeded",
        sources: &[CauseSource::Refusal],
        parts: &["exceeded quota"],
        message: "the quota of the namespace is exceeded",
        remedy: "lower 'replicas', 'resources' or 'size', or raise the quota: kubectl describe resourcequotas",
        explanation: "A ResourceQuota limits pods, CPU, memory or storage of the whole namespace.",
        example: "pods \"a-1\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1",
        ..FATAL
    },
    &KnownCause {
        code: "C182",
        name: "quota-requires-resources",
        sources: &[CauseSource::Refusal],
        parts: &["failed quota"],
        message: "the quota of the namespace requires resources that are not set",
        remedy: "set values.resources with the requests and limits in the message",
        explanation: "With a quota for a resource, each container must set it.",
        example: "pods \"a-1\" is forbidden: failed quota: few: must specify limits.memory for: a",
        ..FATAL
    },
    &KnownCause {
        code: "C183",
        name: "limit-range-violated",
        sources: &[CauseSource::Refusal],
        parts: &[
            "usage per Container is",
            "usage per Pod is",
            "usage per PersistentVolumeClaim is",
            "limit to request ratio per",
        ],
        message: "a LimitRange of the namespace forbids these resources",
        remedy: "change 'resources' or 'size', or the LimitRange: kubectl describe limitranges",
        explanation: "A LimitRange sets the least and the most of each container, pod or claim.",
        example: "pods \"a-1\" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi",
        ..FATAL
    },
    &KnownCause {
        code: "C184",
        name: "pod-security-violated",
        sources: &[CauseSource::Refusal],
        parts: &["violates PodSecurity"],
        message: "Pod Security of the namespace forbids the pods",
        remedy: "change values.security as the message says, or the level of the namespace",
        explanation: "The namespace enforces a level of Pod Security that the pods do not satisfy.",
        example: "pods \"a-1\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
        ..FATAL
    },
    &KnownCause {
        code: "C185",
        name: "volume-cannot-grow",
        sources: &[CauseSource::Refusal],
        parts: &["only dynamically provisioned pvc can be resized"],
        message: "the storage of an existing volume cannot grow",
        remedy: "undo the change of 'size'; for a larger volume, save its data, delete PersistentVolumeClaim '{name}' \
            and its pods, and run the command again",
        explanation: "The storage class does not allow volumes to be resized, as the one of a local cluster.",
        example: "persistentvolumeclaims \"a-data\" is forbidden: only dynamically provisioned pvc can be resized and \
            the storageclass that provisions the pvc must support resize",
        ..FATAL
    },
    &KnownCause {
        code: "C186",
        name: "volume-cannot-shrink",
        sources: &[CauseSource::Refusal],
        parts: &["field can not be less than"],
        message: "an existing volume cannot shrink",
        remedy: "undo the change of 'size'; for a smaller volume, save its data, delete PersistentVolumeClaim \
            '{name}' and its pods, and run the command again",
        explanation: "Kubernetes never makes a volume smaller.",
        example: "PersistentVolumeClaim \"a-data\" is invalid: spec.resources.requests.storage: Forbidden: field can \
            not be less than previous value",
        ..FATAL
    },
    &KnownCause {
        code: "C187",
        name: "stateful-set-immutable",
        sources: &[CauseSource::Refusal],
        parts: &["updates to statefulset spec for fields other than"],
        message: "volumes, selector and service name of an existing StatefulSet cannot be changed",
        remedy: "undo the change; or delete the StatefulSet without its pods and volumes, and run the command again: \
            kubectl delete statefulset {name} --cascade=orphan",
        explanation: "Kubernetes only changes replicas, the pod template and the update strategy of a StatefulSet.",
        example: "StatefulSet.apps \"db\" is invalid: spec: Forbidden: updates to statefulset spec for fields other \
            than 'replicas' are forbidden",
        ..FATAL
    },
    &KnownCause {
        code: "C188",
        name: "policy-denied",
        sources: &[CauseSource::Refusal],
        parts: &["denied the request", "denied request"],
        message: "a policy of the cluster denied the request",
        remedy: "fix the error in the message, or ask the owner of the policy",
        explanation: "An admission webhook or a ValidatingAdmissionPolicy refuses the object. Its message says which rule.",
        example: "admission webhook \"policy.test\" denied the request: no",
        ..FATAL
    },
    &RELEASE_TOO_LARGE,
    &OBJECT_TOO_LARGE,
    &KnownCause {
        code: "C191",
        name: "priority-class-missing",
        sources: &[CauseSource::Refusal],
        parts: &["no PriorityClass with name"],
        message: "a PriorityClass does not exist",
        remedy: "correct 'priorityClassName', or create the class: kubectl get priorityclasses",
        explanation: "The pods name a PriorityClass that the cluster does not have.",
        example: "pods \"a-1\" is forbidden: no PriorityClass with name high was found",
        ..FATAL
    },
    &KnownCause {
        code: "C192",
        name: "service-account-missing",
        sources: &[CauseSource::State],
        reasons: &["FailedCreate"],
        parts: &["error looking up service account"],
        message: "the service account of the pods does not exist: {message}",
        remedy: "create it (values.serviceAccount: {create: true}), or correct its name",
        explanation: "Pods run as a ServiceAccount of their namespace. A new namespace has its default account after a \
            moment.",
        example: "pods \"a-1\" is forbidden: error looking up service account shop/runner: serviceaccount \"runner\" \
            not found",
        budget: SOON,
    },
    &KnownCause {
        code: "C193",
        name: "runtime-class-missing",
        sources: &[CauseSource::State],
        reasons: &["FailedCreate"],
        parts: &["RuntimeClass \""],
        message: "the RuntimeClass of the pods does not exist: {message}",
        remedy: "correct 'runtimeClassName', or create the class: kubectl get runtimeclasses",
        explanation: "The pods name a RuntimeClass, such as gvisor, that the cluster does not have.",
        example: "pods \"a-1\" is forbidden: pod rejected: RuntimeClass \"gvisor\" not found",
        budget: SOON,
    },
    &KnownCause {
        code: "C194",
        name: "pods-invalid",
        sources: &[CauseSource::State],
        reasons: &["FailedCreate"],
        parts: &["is invalid"],
        message: "the cluster rejects the pods: {message}",
        remedy: "fix the error in the message",
        explanation: "The pod template is not valid. The message names the field.",
        example: "Pod \"a-1\" is invalid: spec.containers[0].resources.requests: Invalid value: \"2\": must be less \
            than or equal to cpu limit of 1",
        ..FATAL
    },
    &KnownCause {
        code: "C195",
        name: "pods-not-created",
        sources: &[CauseSource::State],
        reasons: &["FailedCreate"],
        message: "the pods cannot be created: {message}",
        remedy: "fix the error in the message",
        explanation: "The controller of the workload cannot create pods, and tries again.",
        example: "Internal error occurred: resource quota evaluation timed out",
        budget: GiveUpAfter::Timeout,
        ..FATAL
    },
];

/// Helm's own Secret is too large.
pub static RELEASE_TOO_LARGE: KnownCause = KnownCause {
    code: "C189",
    name: "release-too-large",
    sources: &[CauseSource::Run],
    message: "the release is larger than 1 MiB, the size limit of a Secret",
    remedy: "reduce what the chart and its values contain: .helmignore, and fewer or smaller 'files'",
    explanation: "Helm stores the chart and the values of each release in a Secret.",
    example: "Secret \"sh.helm.release.v1.big.v1\" is invalid: data: Too long: may not be more than 1048576 bytes",
    ..FATAL
};

/// An object is too large for the cluster.
pub static OBJECT_TOO_LARGE: KnownCause = KnownCause {
    code: "C190",
    name: "object-too-large",
    sources: &[CauseSource::Refusal],
    parts: &[
        "Too long: must have at most 1048576",
        "Too long: may not be more than 1048576",
        "request is too large",
        "equest entity too large",
        "trying to send message larger than max",
    ],
    message: "{name} is larger than 1 MiB, its size limit",
    remedy: "put large files into the image or a volume instead of 'files' and 'config'",
    explanation: "The API server and its database accept objects of up to about 1 MiB.",
    example: "ConfigMap \"big-files\" is invalid: []: Too long: must have at most 1048576 bytes",
    ..FATAL
};

//! Containers that cannot be created, cannot start, or exit.

use super::{CONFIGURATION, CRASHES, CauseSource, FATAL, GiveUpAfter, KnownCause, SOON, START};

pub(super) static CAUSES: &[&KnownCause] = &[
    &KnownCause {
        code: "C040",
        name: "secret-key-missing",
        sources: &[CauseSource::State],
        reasons: CONFIGURATION,
        parts: &["in Secret"],
        message: "a key of a Secret is missing: {message}",
        remedy: "add the key to the Secret, or correct its name under 'env' or 'secretFiles'",
        explanation: "A variable refers to a key that the Secret does not have.",
        example: "couldn't find key passwrd in Secret shop/db",
        budget: SOON,
    },
    &KnownCause {
        code: "C041",
        name: "config-map-key-missing",
        sources: &[CauseSource::State],
        reasons: CONFIGURATION,
        parts: &["in ConfigMap"],
        message: "a key of a ConfigMap is missing: {message}",
        remedy: "add the key to the ConfigMap, or correct its name",
        explanation: "A variable refers to a key that the ConfigMap does not have.",
        example: "couldn't find key level in ConfigMap shop/settings",
        budget: SOON,
    },
    &KnownCause {
        code: "C042",
        name: "secret-missing",
        sources: &[CauseSource::State],
        reasons: CONFIGURATION,
        parts: &["secret"],
        message: "a Secret is missing: {message}",
        remedy: "create the Secret in the namespace, or correct its name under 'env' or 'secrets'",
        explanation: "A variable refers to a Secret that does not exist in the namespace of the project.",
        example: "secret \"vault\" not found",
        budget: SOON,
    },
    &KnownCause {
        code: "C043",
        name: "config-map-missing",
        sources: &[CauseSource::State],
        reasons: CONFIGURATION,
        parts: &["configmap"],
        message: "a ConfigMap is missing: {message}",
        remedy: "create the ConfigMap in the namespace, or correct its name",
        explanation: "A variable refers to a ConfigMap that does not exist in the namespace of the project.",
        example: "configmap \"settings\" not found",
        budget: SOON,
    },
    &KnownCause {
        code: "C044",
        name: "image-runs-as-root",
        sources: &[CauseSource::State],
        reasons: CONFIGURATION,
        parts: &["runAsNonRoot", "non-numeric user"],
        message: "the image runs as root, which Pod Security 'restricted' forbids: {message}",
        remedy: "set `security: {runAsUser: 1000}` under `projects.{project}.values`, or another user of the image than 0",
        explanation: "The pod must not run as root, but its image has no other user, or names its user instead of a \
            number.",
        example: "container has runAsNonRoot and image will run as root",
        ..FATAL
    },
    &KnownCause {
        code: "C045",
        name: "container-not-created",
        sources: &[CauseSource::State],
        reasons: CONFIGURATION,
        message: "{who} cannot be created: {message}",
        remedy: "fix the error in the message",
        explanation: "The kubelet cannot create the container from its specification.",
        example: "failed to generate container \"a\" spec: failed to generate spec: failed to set supplementary groups",
        budget: SOON,
        ..FATAL
    },
    &KnownCause {
        code: "C046",
        name: "shell-missing",
        sources: &[CauseSource::State],
        reasons: START,
        parts: &[
            "exec: \"sh\"",
            "exec: \"/bin/sh\"",
            "exec: \"bash\"",
            "exec: \"/bin/bash\"",
            "exec: \"/usr/bin/bash\"",
        ],
        message: "{who} cannot start: its image has no shell: {message}",
        remedy: "call the program itself in 'command' instead of a shell, or use an image with a shell; cmdr shell \
            adds one for debugging",
        explanation: "Minimal images such as distroless contain a program and no shell.",
        example: "exec: \"sh\": executable file not found in $PATH",
        budget: SOON,
    },
    &KnownCause {
        code: "C047",
        name: "program-missing",
        sources: &[CauseSource::State],
        reasons: START,
        parts: &["no such file or directory", "executable file not found"],
        message: "{who} cannot start: {message}",
        remedy: "remove `projects.{project}.values.command` to run the program of the image, or correct it",
        explanation: "The program of 'command' is not in the image, or the interpreter in the #! line of a script is not.",
        example: "exec: \"/x\": stat /x: no such file or directory",
        budget: SOON,
    },
    &KnownCause {
        code: "C048",
        name: "working-directory-missing",
        sources: &[CauseSource::State],
        reasons: START,
        parts: &["chdir to cwd"],
        message: "{who} cannot start in its working directory: {message}",
        remedy: "correct 'workingDir', or create the folder in the Dockerfile with permission for the user",
        explanation: "The working directory of the container cannot be entered by its user.",
        example: "chdir to cwd (\"/root/app\") set in config.json failed: permission denied",
        budget: SOON,
    },
    &KnownCause {
        code: "C049",
        name: "program-not-executable",
        sources: &[CauseSource::State],
        reasons: START,
        parts: &["permission denied", "is a directory"],
        message: "{who} cannot start: {message}",
        remedy: "make the file executable in the Dockerfile (RUN chmod +x, COPY --chmod=755), or call it with its \
            interpreter in 'command'",
        explanation: "The file has no execute permission for the user of the container, or it is a folder.",
        example: "exec: \"/app/start.sh\": permission denied",
        budget: SOON,
    },
    &KnownCause {
        code: "C050",
        name: "start-failed",
        sources: &[CauseSource::State],
        reasons: START,
        message: "{who} cannot start: {message}",
        remedy: "check 'command' and 'args', and that the program is in the image",
        explanation: "The container runtime cannot start the program. The message is that of the runtime.",
        example: "error during container init: error setting rlimits",
        budget: CRASHES,
        ..FATAL
    },
    &OUT_OF_MEMORY,
    &KnownCause {
        code: "C052",
        name: "command-not-found",
        sources: &[CauseSource::State],
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        parts: &["exit code 127"],
        message: "{who} exits: {message}, a command was not found",
        remedy: "see in its log which command is missing, and install it in the image",
        explanation: "A shell returns 127 if a command of the script is not in the image.",
        example: "exit code 127",
        budget: CRASHES,
    },
    &KnownCause {
        code: "C053",
        name: "command-not-executable",
        sources: &[CauseSource::State],
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        parts: &["exit code 126"],
        message: "{who} exits: {message}, a command cannot be executed",
        remedy: "see in its log which file, and make it executable in the image",
        explanation: "A shell returns 126 if a file exists but has no execute permission or the wrong format.",
        example: "exit code 126",
        budget: CRASHES,
    },
    &KnownCause {
        code: "C054",
        name: "native-crash",
        sources: &[CauseSource::State],
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        parts: &["exit code 139", "exit code 135", "exit code 132"],
        message: "{who} exits: {message}, an invalid memory access",
        remedy: "see its log; use an image for this architecture, and libraries of the same C library (glibc or musl)",
        explanation: "The program crashed in native code with SIGSEGV, SIGBUS or SIGILL.",
        example: "exit code 139",
        budget: CRASHES,
    },
    &KnownCause {
        code: "C055",
        name: "container-killed",
        sources: &[CauseSource::State],
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        parts: &["exit code 137"],
        message: "{who} exits: {message}, killed from outside",
        remedy: "read its log and its events; if the node is short of memory, lower the requests of other projects",
        explanation: "The program was ended with SIGKILL, by another process, by the node, or because a child exceeded the \
            memory limit.",
        example: "exit code 137",
        budget: CRASHES,
    },
    &KnownCause {
        code: "C056",
        name: "program-ends",
        sources: &[CauseSource::State],
        reasons: &["Completed"],
        parts: &["exit code 0"],
        message: "{who} exits: {message}, although it should keep running",
        remedy: "start the program in the foreground; for work that ends, set values.kind to Job",
        explanation: "The program ended without an error. A Deployment restarts it, because its containers must keep \
            running.",
        example: "exit code 0",
        budget: CRASHES,
    },
    &KnownCause {
        code: "C057",
        name: "container-exits",
        sources: &[CauseSource::State],
        reasons: &["CrashLoopBackOff", "Error", "Completed"],
        message: "{who} exits: {message}",
        remedy: "read its log, which contains the reason: cmdr logs {project}",
        explanation: "The program ended with an error. Its log contains the reason; cmdr explains the ones that it knows.",
        example: "exit code 1",
        budget: CRASHES,
        ..FATAL
    },
    &INIT_CONTAINER_RUNS,
    &JOB_FAILED,
    &JOB_RUNS,
    &JOB_HELD,
    &ROLLOUTS_PAUSED,
    &ROLLOUT_STALLED,
    &ROLLOUT_TIMEOUT,
    &JOB_EXPIRED,
];

/// The memory limit was exceeded.
pub static OUT_OF_MEMORY: KnownCause = KnownCause {
    code: "C051",
    name: "out-of-memory",
    sources: &[CauseSource::State],
    reasons: &["OOMKilled"],
    message: "{who} was killed because it exceeded its memory limit",
    remedy: "set `resources: {limits: {memory: {limit}}}` under `projects.{project}.values`, or let it use less",
    explanation: "The kernel ends a container that uses more memory than its limit.",
    example: "exit code 137",
    budget: CRASHES,
    ..FATAL
};

/// An init container does not end.
pub static INIT_CONTAINER_RUNS: KnownCause = KnownCause {
    code: "C058",
    name: "init-container-runs",
    sources: &[CauseSource::Run],
    message: "{who} is still running",
    remedy: "read its log; if it waits for another project, add that project to 'needs'; if it needs more time, raise \
        'timeout'",
    explanation: "Init containers run before the others and must end. This one waits for something, or needs more time.",
    example: "waiting for the database",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A Job has used all its attempts.
pub static JOB_FAILED: KnownCause = KnownCause {
    code: "C059",
    name: "job-failed",
    sources: &[CauseSource::Run],
    message: "the job failed: {message}",
    remedy: "read its log, fix the error, and run cmdr up again to retry the job",
    explanation: "The Job has used all its attempts, or its deadline has passed.",
    example: "Job has reached the specified backoff limit",
    ..FATAL
};

/// A Job or pod that must end still runs.
pub static JOB_RUNS: KnownCause = KnownCause {
    code: "C060",
    name: "job-runs",
    sources: &[CauseSource::Run],
    message: "the job is still running",
    remedy: "read its log; raise 'timeout' of the project if it needs more time",
    explanation: "The Job makes no visible progress, and cmdr waits no longer than the timeout of the project.",
    example: "migrating table 3 of 9",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A container beside that of a Job does not end.
pub static JOB_HELD: KnownCause = KnownCause {
    code: "C061",
    name: "job-held-by-container",
    sources: &[CauseSource::Run],
    message: "a container of the job has finished, but '{name}' is still running",
    remedy: "make it a sidecar (an init container with restartPolicy: Always): it ends with the others",
    explanation: "A Job is done when all its containers have ended. A proxy or agent beside the main one never ends.",
    example: "proxy",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A Deployment is paused.
pub static ROLLOUTS_PAUSED: KnownCause = KnownCause {
    code: "C062",
    name: "rollouts-paused",
    sources: &[CauseSource::Run],
    message: "the rollouts of the Deployment are paused",
    remedy: "resume them: kubectl rollout resume deployment/{name}",
    explanation: "kubectl rollout pause keeps a Deployment from starting new pods.",
    example: "spec.paused: true",
    budget: SOON,
    ..FATAL
};

/// The deadline of a Deployment has passed.
pub static ROLLOUT_STALLED: KnownCause = KnownCause {
    code: "C063",
    name: "rollout-stalled",
    sources: &[CauseSource::Run],
    message: "no progress within the Deployment's deadline",
    remedy: "read its log and its events; raise 'timeout' of the project if it needs more time",
    explanation: "No new pod became ready within the progress deadline of the Deployment.",
    example: "ReplicaSet \"shop-1\" has timed out progressing.",
    ..FATAL
};

/// The timeout of a project has passed.
pub static ROLLOUT_TIMEOUT: KnownCause = KnownCause {
    code: "C064",
    name: "rollout-timeout",
    sources: &[CauseSource::Run],
    message: "the rollout did not finish",
    remedy: "read the log and the events of its pods; raise 'timeout' of the project if it needs more time",
    explanation: "The workload made no progress for the timeout of the project, and no known problem was found.",
    example: "no progress for 120 s",
    budget: GiveUpAfter::Timeout,
    ..FATAL
};

/// A failed Job was deleted.
pub static JOB_EXPIRED: KnownCause = KnownCause {
    code: "C065",
    name: "job-expired",
    sources: &[CauseSource::Run],
    message: "the job failed: {message}",
    remedy: "raise ttlSecondsAfterFinished to keep its log, fix the error, and run cmdr up again",
    explanation: "The Job failed and was deleted because its time to live had passed. Only its events are left.",
    example: "Job has reached the specified backoff limit",
    ..FATAL
};

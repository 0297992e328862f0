//! What programs write before they exit: the last line that matches decides.

use super::{CRASHES, CauseSource, FATAL, KnownCause};

pub(super) static CAUSES: &[&KnownCause] = &[
    &KnownCause {
        code: "C069",
        name: "database-folder-in-use",
        sources: &[CauseSource::Log],
        parts: &[
            "exists but is not empty",
            "data directory has files in it",
            "lost+found",
            "could not change permissions of directory",
        ],
        message: "a database can only be created in an empty folder of its own: {line}",
        remedy: "set `env: {PGDATA: /var/lib/postgresql/data/pgdata}` under `projects.{project}.values`; for other \
            databases, mount the volume one folder higher, or delete it if an earlier start has failed",
        explanation: "The top folder of a volume belongs to root and may contain lost+found, and a start that failed leaves \
            files. Databases are therefore kept in a folder below it.",
        example: "initdb: error: directory \"/var/lib/postgresql/data\" exists but is not empty",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C070",
        name: "read-only-file-system",
        sources: &[CauseSource::Log],
        parts: &["read-only file system", "erofs"],
        message: "a path is on a read-only file system: {path}",
        remedy: "set `security: {profile: image}` under `projects.{project}.values` for a writable file system; stricter: \
            `volumes: {{volume}: {path: {folder}, temporary: true}}`",
        explanation: "The root file system of a container is read-only by default. Programs may write to /tmp and to \
            volumes.",
        example: "nginx: [emerg] mkdir() \"/var/cache/nginx/client_temp\" failed (30: Read-only file system)",
        budget: CRASHES,
        ..FATAL
    },
    &LOW_PORT_DENIED,
    &KnownCause {
        code: "C072",
        name: "operation-not-permitted",
        sources: &[CauseSource::Log],
        parts: &["operation not permitted", "eperm"],
        message: "an operation is not permitted: {line}",
        remedy: "set `security: {profile: image}` under `projects.{project}.values` to run the image as its own user; \
            `cmdr harden {project}` finds stricter settings",
        explanation: "The program starts as root to change owners or users, which needs capabilities that pods do not have \
            by default.",
        example: "chown(\"/var/cache/nginx/client_temp\", 101) failed (1: Operation not permitted)",
        budget: CRASHES,
        ..FATAL
    },
    &PERMISSION_DENIED,
    &CONNECTION_REFUSED,
    &UNKNOWN_HOST,
    &KnownCause {
        code: "C076",
        name: "address-in-use",
        sources: &[CauseSource::Log],
        parts: &["address already in use", "eaddrinuse"],
        message: "the port is already in use in the pod: {line}",
        remedy: "let each container of the pod listen on its own port, and start the program only once",
        explanation: "All containers of a pod share its ports. A sidecar, or a second copy of the program, already listens \
            on this one.",
        example: "listen tcp :8080: bind: address already in use",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C077",
        name: "module-missing",
        sources: &[CauseSource::Log],
        parts: &[
            "no module named",
            "cannot find module",
            "cannot find package",
            "could not find or load main class",
            "classnotfoundexception",
            "error while loading shared libraries",
            "cannot load such file",
        ],
        message: "a module or library is missing: {name}",
        remedy: "add '{name}' to the dependencies and install them in the Dockerfile, then cmdr up --build",
        explanation: "The program loads a package or a shared library that is not in the image.",
        example: "ModuleNotFoundError: No module named 'flask'",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C078",
        name: "syntax-error",
        sources: &[CauseSource::Log],
        parts: &["syntaxerror", "syntax error", "indentationerror", "parse error", "unexpected token"],
        message: "the program has a syntax error: {line}",
        remedy: "correct the source code at the position in the log, then cmdr up --build",
        explanation: "The interpreter cannot read the source code or the script.",
        example: "SyntaxError: invalid syntax",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C079",
        name: "password-wrong",
        sources: &[CauseSource::Log],
        parts: &[
            "password authentication failed",
            "access denied for user",
            "wrongpass",
            "noauth ",
            "authentication failed",
            "invalid username-password",
        ],
        message: "a login was refused: {line}",
        remedy: "use the same Secret on both sides; a database keeps the password of its first start: delete its \
            volume, or change the password there",
        explanation: "User or password is wrong. Databases read their password only when their volume is empty.",
        example: "FATAL:  password authentication failed for user \"shop\"",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C080",
        name: "database-missing",
        sources: &[CauseSource::Log],
        parts: &["unknown database", "fatal:  database \"", "fatal: database \"", "fatal:  role \"", "3d000"],
        message: "a database does not exist: {line}",
        remedy: "create it: the images of databases create the one in POSTGRES_DB or MYSQL_DATABASE, only while their \
            volume is empty",
        explanation: "The server responds, but does not have the database or the role.",
        example: "FATAL:  database \"shop\" does not exist",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C081",
        name: "table-missing",
        sources: &[CauseSource::Log],
        parts: &[
            "no such table",
            "error: relation \"",
            "error:  relation \"",
            "pq: relation \"",
            "undefinedtable",
            "42p01",
            "1146 (42s02)",
        ],
        message: "a table does not exist: {line}",
        remedy: "run the migrations first: a Job that the project 'needs', or an init container",
        explanation: "The program expects a schema that no migration has created yet.",
        example: "sqlite3.OperationalError: no such table: orders",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C082",
        name: "user-unknown",
        sources: &[CauseSource::Log],
        parts: &[
            "uid not found",
            "no user exists for uid",
            "cannot find name for user id",
            "unable to look up current user",
            "i have no name!",
            "could not look up effective user id",
        ],
        message: "the image does not know the user of the container: {line}",
        remedy: "set `security: {profile: image}` under `projects.{project}.values` to run as the user of the image, or \
            name one of its users with runAsUser",
        explanation: "The program looks up the name or the home folder of its user, and /etc/passwd of the image does not \
            contain this number.",
        example: "KeyError: 'getpwuid(): uid not found: 1000'",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C083",
        name: "option-unknown",
        sources: &[CauseSource::Log],
        parts: &[
            "unrecognized arguments",
            "unknown flag",
            "unrecognized option",
            "unknown option",
            "invalid option",
            "flag provided but not defined",
            "unknown shorthand flag",
        ],
        message: "the program does not know an option: {line}",
        remedy: "correct 'args': see the options of this version of the program",
        explanation: "The program refuses its command line, often because another version of the image has other options.",
        example: "redis-server: unknown option '--save-now'",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C084",
        name: "configuration-invalid",
        sources: &[CauseSource::Log],
        parts: &[
            "unknown directive",
            "[emerg]",
            "fatal config file error",
            "yaml: ",
            "invalid configuration",
            "error parsing config",
        ],
        message: "the program rejects its configuration: {line}",
        remedy: "correct the file in the log line; the values under 'files' and 'config' are mounted unchanged",
        explanation: "The program cannot read its configuration file.",
        example: "nginx: [emerg] unknown directive \"sever\" in /etc/nginx/conf.d/default.conf:1",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C085",
        name: "program-out-of-memory",
        sources: &[CauseSource::Log],
        parts: &["heap out of memory", "outofmemoryerror", "memoryerror", "cannot allocate memory", "out of memory"],
        message: "the program ran out of memory: {line}",
        remedy: "raise values.resources.limits.memory, or give the runtime less: -Xmx, --max-old-space-size",
        explanation: "The runtime of the program reached its own limit, which is often derived from the memory limit of \
            the container.",
        example: "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C086",
        name: "disk-full",
        sources: &[CauseSource::Log],
        parts: &["no space left on device", "enospc"],
        message: "no space left on device: {path}",
        remedy: "use a larger volume ('size'), a larger sizeLimit, or free Docker's disk: docker builder prune, \
            docker image prune",
        explanation: "A volume, a temporary volume in memory, or the disk of the node is full.",
        example: "ERROR: could not extend file \"base/5/2619\": No space left on device",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C087",
        name: "open-files-limit",
        sources: &[CauseSource::Log],
        parts: &[
            "too many open files",
            "emfile",
            "inotify_add_watch",
            "inotify watch",
            "create inotify",
            "system limit for number of file watchers",
        ],
        message: "a limit of open files or inotify watches is exceeded",
        remedy: "on this machine: sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512; \
            cmdr doctor checks both",
        explanation: "All containers of this machine share the limits of inotify, which watches files for changes.",
        example: "failed to create fsnotify watcher: too many open files",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C088",
        name: "certificate-untrusted",
        sources: &[CauseSource::Log],
        parts: &[
            "x509:",
            "certificate verify failed",
            "certificate_verify_failed",
            "self signed certificate",
            "self-signed certificate",
            "unable to get local issuer",
            "pkix path building failed",
        ],
        message: "the certificate of a server is not trusted: {line}",
        remedy: "mount the certificate authority as a file and name it to the program: SSL_CERT_FILE, \
            NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE",
        explanation: "The program connects with TLS to a server whose authority is not in the image, or to another name \
            than in its certificate.",
        example: "x509: certificate signed by unknown authority",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C089",
        name: "connection-timeout",
        sources: &[CauseSource::Log],
        parts: &["i/o timeout", "connection timed out", "etimedout", "operation timed out", "connect timeout"],
        message: "a connection timed out: {line}",
        remedy: "check host and port, and whether a network policy forbids it: values.network",
        explanation: "No response at all: a network policy or a firewall drops the packets, or the address is wrong.",
        example: "dial tcp 10.96.7.7:5432: i/o timeout",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C090",
        name: "setting-missing",
        sources: &[CauseSource::Log],
        parts: &[
            "is not specified",
            "is not set",
            "keyerror: '",
            "must be set",
            "is required but",
            "missing required",
            "required environment variable",
        ],
        message: "a required setting is missing: {line}",
        remedy: "set the variable in the log line under values.env",
        explanation: "The program requires an environment variable or an option that is not set.",
        example: "Error: Database is uninitialized and superuser password is not specified.",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C091",
        name: "data-of-other-version",
        sources: &[CauseSource::Log],
        parts: &[
            "database files are incompatible",
            "data directory was initialized by",
            "unsupported redo log format",
            "can't handle rdb format version",
        ],
        message: "the data of the volume is from another version: {line}",
        remedy: "use the previous version of the image, or move the data: dump it there and restore it into a new \
            volume",
        explanation: "Databases read only data of their own major version. A changed tag does not convert the volume.",
        example: "DETAIL:  The data directory was initialized by PostgreSQL version 15, which is not compatible with \
            this version 17.0.",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C092",
        name: "data-locked",
        sources: &[CauseSource::Log],
        parts: &[
            "database is locked",
            "lock file \"postmaster.pid\" already exists",
            "unable to lock",
            "is locked by another process",
            "another instance is running",
        ],
        message: "another process uses the same data: {line}",
        remedy: "run one replica per volume: set 'replicas: 1' and the strategy Recreate, or use a StatefulSet",
        explanation: "Two pods use the same volume at the same time, for example during an update.",
        example: "could not create lock file: database is locked",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C093",
        name: "shared-memory-small",
        sources: &[CauseSource::Log],
        parts: &["shared memory segment"],
        message: "the shared memory of the pod is too small: {line}",
        remedy: "add a volume in memory at /dev/shm: values.volumes: {shm: {path: /dev/shm, temporary: true, medium: \
            Memory}}",
        explanation: "A container has 64 MB in /dev/shm, which databases and browsers exceed.",
        example: "ERROR: could not resize shared memory segment \"/PostgreSQL.1\" to 16777216 bytes",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C094",
        name: "file-missing",
        sources: &[CauseSource::Log],
        parts: &["no such file or directory", "enoent", "filenotfounderror"],
        message: "a file is missing: {path}",
        remedy: "correct the path, or provide the file: in the image, or under values.files",
        explanation: "The program opens a file that is neither in the image nor in a volume. A volume hides what the image \
            has at its path.",
        example: "Error: ENOENT: no such file or directory, open '/app/config.json'",
        budget: CRASHES,
        ..FATAL
    },
    &KnownCause {
        code: "C095",
        name: "command-of-script-missing",
        sources: &[CauseSource::Log],
        parts: &["command not found"],
        message: "a command of the script is missing: {line}",
        remedy: "install the command in the image, or correct its name",
        explanation: "A shell script calls a program that is not in the image.",
        example: "/entrypoint.sh: line 3: envsubst: command not found",
        budget: CRASHES,
        ..FATAL
    },
];

/// A port below 1024.
pub static LOW_PORT_DENIED: KnownCause = KnownCause {
    code: "C071",
    name: "low-port-denied",
    sources: &[CauseSource::Log],
    parts: &["bind() to ", "bind: permission denied", "listen eacces", "listen tcp: permission denied"],
    message: "the program may not open a port below 1024: {line}",
    remedy: "let it listen on a port above 1023, or set `security: {profile: image}` under `projects.{project}.values`",
    explanation: "Ports below 1024 need root or the capability NET_BIND_SERVICE.",
    example: "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)",
    budget: CRASHES,
    ..FATAL
};

/// A file that the user may not open.
pub static PERMISSION_DENIED: KnownCause = KnownCause {
    code: "C073",
    name: "permission-denied",
    sources: &[CauseSource::Log],
    parts: &["permission denied", "eacces"],
    message: "permission denied: {path}",
    remedy: "run as the owner of the file with values.security.runAsUser, or let it belong to the user in the \
        Dockerfile (COPY --chown)",
    explanation: "The user of the container may not read or write the file. By default it is user 1000, and volumes belong \
        to its group.",
    example: "open /data/db.sqlite: permission denied",
    budget: CRASHES,
    ..FATAL
};

/// Another project accepts no connections.
pub static CONNECTION_REFUSED: KnownCause = KnownCause {
    code: "C074",
    name: "connection-refused",
    sources: &[CauseSource::Log],
    parts: &["connection refused", "econnrefused"],
    message: "connection refused by {name}",
    remedy: "check that {name} is ready, add its project to 'needs', and let the program try again while it starts",
    explanation: "The name resolves, but nothing accepts connections on that port: the other project is not ready, or \
        listens on another port.",
    example: "psql: error: connection to server at \"db\" (10.96.3.4), port 5432 failed: Connection refused",
    budget: CRASHES,
    ..FATAL
};

/// A name that the cluster's DNS does not know.
pub static UNKNOWN_HOST: KnownCause = KnownCause {
    code: "C075",
    name: "unknown-host",
    sources: &[CauseSource::Log],
    parts: &[
        " enotfound",
        "no such host",
        "name or service not known",
        "could not translate host name",
        "name does not resolve",
        "host not found in upstream",
        "unknown host",
        "could not resolve host",
        "nodename nor servname",
        "eai_again",
        "temporary failure in name resolution",
        "bad address '",
    ],
    message: "unknown host: {name}",
    remedy: "correct the name of the host: a project is reached by its own name, such as http://catalog:8080",
    explanation: "The DNS of the cluster does not know the name. Names of other namespaces need a suffix: name.namespace.",
    example: "Error: getaddrinfo ENOTFOUND postgers",
    budget: CRASHES,
    ..FATAL
};

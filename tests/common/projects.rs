//! Projects that several workspaces of tests have.

/// PostgreSQL with a volume and a generated password: the end of a `projects.yaml`.
pub(crate) const POSTGRES: &str = "  postgres:
    image: docker.io/library/postgres:15
    values:
      kind: StatefulSet
      ports: {postgres: 5432}
      secrets: {db: {generate: password}}
      env: {POSTGRES_PASSWORD: {secret: db, key: password}, PGDATA: /var/lib/postgresql/data/pgdata}
      volumes:
        data: {path: /var/lib/postgresql/data, size: 1Gi}
        run: {path: /var/run/postgresql, temporary: true}
      security: {runAsUser: 999}
";

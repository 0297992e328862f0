//! Who a project's pods are for a cloud: what the cloud must trust, so that it accepts their tokens.

use serde_json::{Value, json};

use super::ResolvedProject;

/// The service account of a project's pods, and who signs its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodIdentity {
    pub namespace: String,
    pub account: String,
    /// The URL of the cluster's issuer of tokens.
    pub issuer: String,
}

impl PodIdentity {
    /// The identity of a project's pods in a namespace.
    pub fn of(project: &ResolvedProject, namespace: &str, issuer: &str) -> Self {
        let written = project.values.get("serviceAccount").and_then(|account| account.get("name")?.as_str());
        Self {
            namespace: namespace.to_owned(),
            account: written.unwrap_or(project.name.as_str()).to_owned(),
            issuer: issuer.trim_end_matches('/').to_owned(),
        }
    }

    /// The subject of the tokens.
    fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.account)
    }

    /// The trust policy of a role in AWS; `None` if `role` is not the ARN of one.
    fn trusted_by_aws(&self, role: &str) -> Option<Value> {
        let mut parts = role.split(':');
        let (partition, account) = (parts.nth(1)?, parts.nth(2)?);
        let provider = self.issuer.strip_prefix("https://").unwrap_or(&self.issuer);
        Some(json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"Federated": format!("arn:{partition}:iam::{account}:oidc-provider/{provider}")},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {
                    format!("{provider}:sub"): self.subject(),
                    format!("{provider}:aud"): "sts.amazonaws.com",
                }},
            }],
        }))
    }

    /// The command that lets the pods use a service account of Google Cloud. The pool of identities is that of the
    /// cluster's own project, which the issuer of GKE names.
    fn trusted_by_gcp(&self, account: &str) -> Option<String> {
        let of_cluster = self.issuer.split_once("/projects/").and_then(|(_, rest)| rest.split('/').next());
        let of_account = account.split_once('@')?.1.split('.').next()?;
        let pool = of_cluster.unwrap_or(of_account);
        Some(format!(
            "gcloud iam service-accounts add-iam-policy-binding {account} --role roles/iam.workloadIdentityUser \
             --member 'serviceAccount:{pool}.svc.id.goog[{}/{}]'",
            self.namespace, self.account
        ))
    }

    /// The federated credential of an application or managed identity in Azure.
    fn trusted_by_azure(&self) -> Value {
        json!({
            "name": format!("{}-{}", self.namespace, self.account),
            "issuer": self.issuer,
            "subject": self.subject(),
            "audiences": ["api://AzureADTokenExchange"],
        })
    }

    /// Returns what the clouds that the project names must know, each as text: AWS the trust policy of the role, Google
    /// Cloud a command, Azure a federated credential.
    pub fn trust(&self, project: &ResolvedProject) -> Vec<String> {
        let text = |cloud: &str, key: &str| project.values.get(cloud)?.get(key)?.as_str();
        let aws = text("aws", "role").and_then(|role| self.trusted_by_aws(role)).map(|policy| format!("{policy:#}"));
        let gcp = text("gcp", "account").and_then(|account| self.trusted_by_gcp(account));
        let azure = text("azure", "client").map(|_| format!("{:#}", self.trusted_by_azure()));
        [aws, gcp, azure].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Chart, ChartSource, Name};

    fn trust(values: &Value, issuer: &str) -> Vec<String> {
        let chart = Chart { source: ChartSource::Universal, version: None };
        let values = values.as_object().unwrap().clone();
        let project = ResolvedProject::bare(Name::new("shop").unwrap(), chart, values);
        PodIdentity::of(&project, "tunes", issuer).trust(&project)
    }

    #[test]
    fn a_role_trusts_the_service_account_of_the_cluster() {
        let found =
            trust(&json!({"aws": {"role": "arn:aws:iam::123456789012:role/shop"}}), "https://oidc.example/id/7/");
        let policy: Value = serde_json::from_str(&found[0]).unwrap();
        let statement = &policy["Statement"][0];
        assert_eq!(statement["Principal"]["Federated"], "arn:aws:iam::123456789012:oidc-provider/oidc.example/id/7");
        let expected = json!({
            "oidc.example/id/7:sub": "system:serviceaccount:tunes:shop", "oidc.example/id/7:aud": "sts.amazonaws.com",
        });
        assert_eq!(statement["Condition"]["StringEquals"], expected);
    }

    #[test]
    fn google_cloud_takes_the_pool_of_the_cluster() {
        let values =
            json!({"gcp": {"account": "shop@data.iam.gserviceaccount.com"}, "serviceAccount": {"name": "web"}});
        let issuer = "https://container.googleapis.com/v1/projects/platform/locations/x/clusters/y";
        let command = &trust(&values, issuer)[0];
        assert!(command.ends_with("--member 'serviceAccount:platform.svc.id.goog[tunes/web]'"), "{command}");
        assert!(trust(&values, "https://issuer.example")[0].contains("data.svc.id.goog[tunes/web]"));
    }

    #[test]
    fn azure_gets_a_federated_credential() {
        let found = trust(&json!({"azure": {"client": "1"}}), "https://issuer.example");
        let credential: Value = serde_json::from_str(&found[0]).unwrap();
        assert_eq!(credential["subject"], "system:serviceaccount:tunes:shop");
        assert!(trust(&json!({}), "https://issuer.example").is_empty());
    }
}

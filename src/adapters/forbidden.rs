//! Finds the RBAC rule that is missing when the API server denies a request.

/// Returns the rule to add, for a message such as `... cannot list resource "secrets" in API group "" in the namespace
/// "tunes"`; `None` for any other message.
pub(super) fn missing_rule(message: &str) -> Option<String> {
    let (_, refused) = message.split_once(" cannot ")?;
    let (verb, rest) = refused.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, rest) = rest.split_once('"')?;
    let place = match rest.split_once("in the namespace \"").and_then(|(_, rest)| rest.split_once('"')) {
        Some((namespace, _)) => format!("the ServiceRole of the account in namespace {namespace}"),
        None => "the ClusterRole of the account".to_owned(),
    };
    Some(format!(
        "to {place}, add the rule {{apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{verb}]}}; \
         templates/rbac/deployer.yaml contains all rules that cmdr needs"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_named() {
        let message = "secrets is forbidden: User \"system:serviceaccount:tunes:reader\" cannot list resource \
                       \"secrets\" in API group \"\" in the namespace \"tunes\"";
        let rule = missing_rule(message).unwrap();
        let expected = "in namespace tunes, add the rule {apiGroups: [\"\"], resources: [secrets], verbs: [list]}";
        assert!(rule.contains(expected), "{rule}");
        let message =
            "nodes is forbidden: User \"x\" cannot get resource \"nodes\" in API group \"\" at the cluster scope";
        assert!(missing_rule(message).unwrap().contains("the ClusterRole"));
        assert_eq!(missing_rule("exceeded quota"), None);
    }
}

//! The plan of `down` for a review environment.

use super::{Plan, Step};

/// Deletes the namespace of a review environment.
pub fn end_review(namespace: &str) -> Plan {
    let mut plan = Plan::default();
    let connected = plan.add(Step::ConnectCluster, "required by all other steps", None);
    plan.add(Step::DeleteNamespace(namespace.to_owned()), "the review environment ends", [connected]);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::graph::tests::lines;

    #[test]
    fn the_namespace_is_the_only_thing_that_is_deleted() {
        assert_eq!(
            lines(&end_review("review-fix-1")),
            ["connect cluster <- ", "delete namespace review-fix-1 <- cluster"]
        );
    }
}

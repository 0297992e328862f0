//! The state of procedures, in Secrets of the environment's namespace: one for each procedure.

use crate::{
    adapters::cluster::{Cluster, ClusterError},
    domain::procedure_state::ProcedureState,
};

/// The kind of the Secrets, as those of the ledger have one.
const PROCEDURE: &str = "procedure";

impl Cluster {
    /// Returns the procedures that were started in a namespace, by their names.
    ///
    /// # Errors
    /// If the API does not respond, or an entry is not valid.
    pub async fn procedures(&self, namespace: &str) -> Result<Vec<ProcedureState>, ClusterError> {
        Ok(self.contents(namespace, PROCEDURE).await?.into_values().collect())
    }

    /// Returns a procedure, if it was started in a namespace.
    ///
    /// # Errors
    /// If the API does not respond, or the entry is not valid.
    pub async fn procedure(&self, namespace: &str, name: &str) -> Result<Option<ProcedureState>, ClusterError> {
        self.content_of(namespace, PROCEDURE, name).await
    }

    /// Stores the state of a procedure. Who writes it holds its lease.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn write_procedure(&self, namespace: &str, state: &ProcedureState) -> Result<(), ClusterError> {
        self.update_content(namespace, (PROCEDURE, &state.procedure), |_| Some(state.clone())).await
    }
}

//! Networks: create, remove.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;

use crate::{Engine, EngineError, engine::gone_is_fine};

impl Engine {
    /// Creates a bridge network in which containers find each other by name.
    ///
    /// # Errors
    /// See [`EngineError`]: a conflict where the name is taken.
    pub async fn create_network(
        &self,
        name: &str,
        labels: HashMap<String, String>,
    ) -> Result<(), EngineError> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        self.ask("created a network", self.docker.create_network(request)).await.map(drop)
    }

    /// Removes a network; fine if it is gone.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        gone_is_fine(self.ask("removed a network", self.docker.remove_network(name)).await)
    }
}

//! Asks Prometheus.

use serde_json::Value;

use super::CheckEvaluation;
use crate::{
    adapters::http::url_encoded,
    domain::check::{CheckVerdict, Limit, PrometheusAddress, judge_numbers},
};

impl CheckEvaluation<'_> {
    /// Runs a query and judges its result.
    ///
    /// # Errors
    /// Why Prometheus has not answered.
    pub(super) async fn queried(
        &self,
        at: &PrometheusAddress,
        query: &str,
        limit: Limit,
    ) -> Result<CheckVerdict, String> {
        let path = format!("/api/v1/query?query={}", url_encoded(query));
        let text = match at {
            PrometheusAddress::Url(url) => {
                let read = self.http.text(&format!("{url}{path}")).await;
                read.map_err(|error| format!("no response from Prometheus at {url}: {error}"))?
            }
            PrometheusAddress::Service { namespace, name, port } => {
                let namespace = namespace.as_ref().unwrap_or(&self.session.environment.namespace);
                let ports = self.cluster.service_ports(namespace, name).await;
                let ports = ports.map_err(|error| error.problem().message)?;
                let ports = ports.ok_or_else(|| format!("the Service '{name}' of Prometheus does not exist"))?;
                let port = port.as_ref().or(ports.first()).ok_or("the Service of Prometheus has no port")?;
                let read = self.cluster.proxied_text(namespace, &format!("services/{name}:{port}"), &path).await;
                read.map_err(|error| format!("no response from Prometheus: {}", error.problem().message))?
            }
        };
        Ok(judge_numbers(&numbers(&text)?, limit))
    }
}

/// The values in a response: one for each series.
fn numbers(text: &str) -> Result<Vec<f64>, String> {
    let response: Value = serde_json::from_str(text).map_err(|_| "the response is not one of Prometheus".to_owned())?;
    if response["status"] != "success" {
        let why = response["error"].as_str().unwrap_or("the response is not one of Prometheus");
        return Err(format!("Prometheus refuses the query: {why}"));
    }
    let (kind, result) = (&response["data"]["resultType"], &response["data"]["result"]);
    let number = |sample: &Value| sample.get(1).and_then(Value::as_str).and_then(|number| number.parse().ok());
    match kind.as_str() {
        Some("scalar") => Ok(number(result).into_iter().collect()),
        Some("vector") => {
            let series = result.as_array().into_iter().flatten();
            Ok(series.filter_map(|series| number(&series["value"])).collect())
        }
        _ => Err("the result of the query is not a number for each series".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_of_prometheus() {
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"job":"shop"},"value":[1795749485.123,"0.25"]},{"metric":{},"value":[1795749485.123,"NaN"]}]}}"#;
        let found = numbers(vector).unwrap();
        assert_eq!((found[0], found[1].is_nan()), (0.25, true));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1795749485.123,"3"]}}"#;
        assert_eq!(numbers(scalar), Ok(vec![3.0]));
        let wrong = r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error"}"#;
        assert_eq!(numbers(wrong), Err("Prometheus refuses the query: 1:5: parse error".to_owned()));
        assert!(numbers("<html>").is_err());
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert!(numbers(matrix).is_err());
    }
}

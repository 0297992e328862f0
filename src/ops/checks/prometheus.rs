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
        let (from, (status, text)) = match at {
            PrometheusAddress::Url(url) => {
                let read = self.http.text(&format!("{url}{path}")).await;
                (url.clone(), read.map_err(|error| format!("no response from Prometheus at {url}: {error}"))?)
            }
            PrometheusAddress::Service { namespace, name, port } => {
                let namespace = namespace.as_ref().unwrap_or(&self.session.environment.namespace);
                let ports = self.cluster.service_ports(namespace, name).await;
                let ports = ports.map_err(|error| error.problem().message)?;
                let ports = ports.ok_or_else(|| format!("the Service '{name}' of Prometheus does not exist"))?;
                let port = port.as_ref().or(ports.first()).ok_or("the Service of Prometheus has no port")?;
                let read = self.cluster.proxied_answer(namespace, &format!("services/{name}:{port}"), &path).await;
                let read = read.map_err(|error| format!("no response from Prometheus: {}", error.problem().message))?;
                (format!("{name}:{port}"), read)
            }
        };
        Ok(judge_numbers(&numbers(&from, status, &text)?, limit))
    }
}

/// The values in a response: one for each series. Prometheus explains a refusal; a proxy in front of it does not.
fn numbers(from: &str, status: u16, text: &str) -> Result<Vec<f64>, String> {
    let response: Value = serde_json::from_str(text).unwrap_or_default();
    if response["status"] != "success" {
        return Err(match response["error"].as_str() {
            Some(why) => format!("Prometheus at {from} refuses the query: {why}"),
            None => format!("HTTP {status} from {from}, but not an answer of Prometheus"),
        });
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
        let read = |text| numbers("http://prometheus:9090", 200, text);
        let found = read(vector).unwrap();
        assert_eq!((found[0], found[1].is_nan()), (0.25, true));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1795749485.123,"3"]}}"#;
        assert_eq!(read(scalar), Ok(vec![3.0]));
        let wrong = r#"{"status":"error","errorType":"bad_data","error":"1:5: parse error"}"#;
        let refused = "Prometheus at http://prometheus:9090 refuses the query: 1:5: parse error";
        assert_eq!(read(wrong), Err(refused.to_owned()));
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        assert!(read(matrix).is_err());
    }

    #[test]
    fn a_response_without_an_answer_is_named() {
        for (status, text) in [(503, ""), (502, "<html>"), (200, "<html>"), (200, "{}")] {
            let expected = format!("HTTP {status} from prometheus:9090, but not an answer of Prometheus");
            assert_eq!(numbers("prometheus:9090", status, text), Err(expected));
        }
    }
}

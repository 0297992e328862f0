//! What Kubernetes checks in fields of its own types, beyond the types that its schema has.

use serde_json::{Value, json};

/// What the value of a field must be.
#[derive(Debug, Clone, Copy)]
enum FieldRule {
    /// Text of a [`ValueFormat`](super::value_formats::ValueFormat).
    Text(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words.
    Words(&'static [&'static str]),
    /// A map: the format of its keys.
    Keys(&'static str),
    /// A map of labels.
    Labels,
    /// An integer between two bounds, inclusive.
    Between(u32, u32),
    /// The number of a port, or its name.
    PortOrName,
}

use FieldRule::{Between, Keys, Labels, PortOrName, Text, Word, Words};

/// The largest number of most fields.
const LARGEST: u32 = i32::MAX.unsigned_abs();
const PORT: FieldRule = Between(1, 65_535);
/// The ports of nodes that the API server hands out by default.
const NODE_PORT: FieldRule = Between(30_000, 32_767);
const OPERATORS: FieldRule = Word(&["In", "NotIn", "Exists", "DoesNotExist"]);
const NODE_OPERATORS: FieldRule = Word(&["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]);
const PROTOCOLS: FieldRule = Word(&["TCP", "UDP", "SCTP"]);
const ACCESS_MODES: FieldRule = Words(&["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]);

/// Types with their fields. The name of a type is the last part of its name in the schema.
const TYPES: [(&str, &[(&str, FieldRule)]); 37] = [
    (
        "Container",
        &[
            ("imagePullPolicy", Word(&["Always", "IfNotPresent", "Never"])),
            ("restartPolicy", Word(&["Always"])),
            ("terminationMessagePolicy", Word(&["File", "FallbackToLogsOnError"])),
        ],
    ),
    (
        "ContainerPort",
        &[("containerPort", PORT), ("hostPort", PORT), ("name", Text("port-name")), ("protocol", PROTOCOLS)],
    ),
    (
        "CronJobSpec",
        &[
            ("concurrencyPolicy", Word(&["Allow", "Forbid", "Replace"])),
            ("schedule", Text("schedule")),
            ("timeZone", Text("time-zone")),
        ],
    ),
    ("DaemonSetUpdateStrategy", &[("type", Word(&["OnDelete", "RollingUpdate"]))]),
    ("DeploymentStrategy", &[("type", Word(&["Recreate", "RollingUpdate"]))]),
    ("EmptyDirVolumeSource", &[("medium", Word(&["", "Memory", "HugePages"]))]),
    ("GRPCAction", &[("port", PORT)]),
    ("HPAScalingPolicy", &[("type", Word(&["Pods", "Percent"])), ("periodSeconds", Between(1, 1800))]),
    (
        "HPAScalingRules",
        &[("selectPolicy", Word(&["Max", "Min", "Disabled"])), ("stabilizationWindowSeconds", Between(0, 3600))],
    ),
    ("HTTPGetAction", &[("port", PortOrName), ("scheme", Word(&["HTTP", "HTTPS"]))]),
    ("HTTPHeader", &[("name", Text("http-header"))]),
    ("HTTPIngressPath", &[("pathType", Word(&["Exact", "Prefix", "ImplementationSpecific"]))]),
    ("HorizontalPodAutoscalerSpec", &[("minReplicas", Between(1, LARGEST)), ("maxReplicas", Between(1, LARGEST))]),
    ("HostAlias", &[("ip", Text("ip-address"))]),
    (
        "HostPathVolumeSource",
        &[(
            "type",
            Word(&[
                "",
                "DirectoryOrCreate",
                "Directory",
                "FileOrCreate",
                "File",
                "Socket",
                "CharDevice",
                "BlockDevice",
            ]),
        )],
    ),
    ("IPBlock", &[("cidr", Text("cidr"))]),
    (
        "JobSpec",
        &[
            ("completionMode", Word(&["NonIndexed", "Indexed"])),
            ("podReplacementPolicy", Word(&["TerminatingOrFailed", "Failed"])),
        ],
    ),
    ("LabelSelector", &[("matchLabels", Labels)]),
    ("LabelSelectorRequirement", &[("key", Text("label-key")), ("operator", OPERATORS)]),
    ("MetricSpec", &[("type", Word(&["ContainerResource", "External", "Object", "Pods", "Resource"]))]),
    ("MetricTarget", &[("type", Word(&["AverageValue", "Utilization", "Value"]))]),
    ("NetworkPolicyPort", &[("port", PortOrName), ("protocol", PROTOCOLS)]),
    ("NetworkPolicySpec", &[("policyTypes", Words(&["Ingress", "Egress"]))]),
    ("NodeSelectorRequirement", &[("key", Text("label-key")), ("operator", NODE_OPERATORS)]),
    ("ObjectMeta", &[("annotations", Keys("annotation-key")), ("labels", Labels)]),
    (
        "PersistentVolumeClaimSpec",
        &[
            ("accessModes", ACCESS_MODES),
            ("storageClassName", Text("dns-subdomain")),
            ("volumeMode", Word(&["Block", "Filesystem"])),
        ],
    ),
    ("PodAffinityTerm", &[("topologyKey", Text("label-key"))]),
    (
        "PodSpec",
        &[
            ("dnsPolicy", Word(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"])),
            ("hostname", Text("dns-label")),
            ("nodeSelector", Labels),
            ("preemptionPolicy", Word(&["Never", "PreemptLowerPriority"])),
            ("priorityClassName", Text("dns-subdomain")),
            ("restartPolicy", Word(&["Always", "Never", "OnFailure"])),
            ("runtimeClassName", Text("dns-subdomain")),
            ("subdomain", Text("dns-label")),
        ],
    ),
    ("ResourceRequirements", &[("limits", Keys("resource")), ("requests", Keys("resource"))]),
    ("SeccompProfile", &[("type", Word(&["Localhost", "RuntimeDefault", "Unconfined"]))]),
    (
        "ServicePort",
        &[
            ("name", Text("dns-label")),
            ("nodePort", NODE_PORT),
            ("port", PORT),
            ("protocol", PROTOCOLS),
            ("targetPort", PortOrName),
        ],
    ),
    (
        "ServiceSpec",
        &[
            ("externalTrafficPolicy", Word(&["Cluster", "Local"])),
            ("internalTrafficPolicy", Word(&["Cluster", "Local"])),
            ("ipFamilyPolicy", Word(&["SingleStack", "PreferDualStack", "RequireDualStack"])),
            ("sessionAffinity", Word(&["ClientIP", "None"])),
            ("type", Word(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])),
        ],
    ),
    ("StatefulSetSpec", &[("podManagementPolicy", Word(&["OrderedReady", "Parallel"]))]),
    ("StatefulSetUpdateStrategy", &[("type", Word(&["OnDelete", "RollingUpdate"]))]),
    (
        "Toleration",
        &[("effect", Word(&["NoExecute", "NoSchedule", "PreferNoSchedule"])), ("operator", Word(&["Equal", "Exists"]))],
    ),
    (
        "TopologySpreadConstraint",
        &[
            ("maxSkew", Between(1, LARGEST)),
            ("nodeAffinityPolicy", Word(&["Honor", "Ignore"])),
            ("nodeTaintsPolicy", Word(&["Honor", "Ignore"])),
            ("topologyKey", Text("label-key")),
            ("whenUnsatisfiable", Word(&["DoNotSchedule", "ScheduleAnyway"])),
        ],
    ),
    (
        "VolumeMount",
        &[
            ("mountPath", Text("mount-path")),
            ("mountPropagation", Word(&["Bidirectional", "HostToContainer", "None"])),
            ("subPath", Text("sub-path")),
        ],
    ),
];

/// Adds the rules to the definition of a type.
pub(in crate::config) fn add_rules(type_name: &str, definition: &mut Value) {
    let short = type_name.rsplit('.').next().unwrap_or(type_name);
    if short == "Quantity" {
        definition["format"] = json!("quantity");
    }
    let fields = TYPES.iter().filter(|(name, _)| *name == short).flat_map(|(_, fields)| *fields);
    for (field, rule) in fields {
        let Some(known) = definition.pointer_mut(&format!("/properties/{field}")) else { continue };
        // Draft 7 ignores keywords next to a `$ref`.
        let both = [std::mem::take(known), rule.schema()];
        *known = json!({"description": both[0].get("description"), "allOf": both});
    }
}

/// Adds what Helm and editors do not check. The API server refuses numbers that are larger than the type of a field, which
/// has 32 bits unless a maximum says more. A format takes the place of the pattern next to it, which is only similar.
pub(in crate::config) fn tighten(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let is_wide = map.contains_key("maximum") || map.get("format").is_some_and(|format| format == "int64");
            let is_integer =
                |kind: &Value| kind == "integer" || kind.as_array().is_some_and(|all| all.contains(&json!("integer")));
            if map.get("type").is_some_and(is_integer) && !is_wide {
                map.insert("maximum".to_owned(), json!(LARGEST));
            }
            if map.get("format").is_some_and(Value::is_string) {
                map.remove("pattern");
            }
            map.values_mut().for_each(tighten);
        }
        Value::Array(items) => items.iter_mut().for_each(tighten),
        _ => {}
    }
}

impl FieldRule {
    fn schema(self) -> Value {
        match self {
            Text(format) => json!({"format": format}),
            Word(words) => json!({"if": {"type": "string"}, "then": {"enum": words}}),
            Words(words) => json!({"items": {"enum": words}}),
            Keys(format) => json!({"propertyNames": {"format": format}}),
            Labels => json!({
                "propertyNames": {"format": "label-key"},
                "additionalProperties": {"type": "string", "format": "label-value"},
            }),
            Between(least, most) => json!({"minimum": least, "maximum": most}),
            PortOrName => json!({"format": "port-name", "minimum": 1, "maximum": 65_535}),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::CronJob,
        core::v1::Service,
        networking::v1::{Ingress, NetworkPolicy},
    };
    use schemars::generate::SchemaSettings;

    use super::*;

    #[test]
    fn every_type_and_field_is_one_of_kubernetes() {
        let mut generator = SchemaSettings::draft07().into_generator();
        generator.subschema_for::<CronJob>();
        generator.subschema_for::<DaemonSet>();
        generator.subschema_for::<Deployment>();
        generator.subschema_for::<HorizontalPodAutoscaler>();
        generator.subschema_for::<Ingress>();
        generator.subschema_for::<NetworkPolicy>();
        generator.subschema_for::<Service>();
        generator.subschema_for::<StatefulSet>();
        let types = generator.take_definitions(true);
        for (name, fields) in TYPES {
            let (_, known) = types.iter().find(|(known, _)| known.rsplit('.').next() == Some(name)).expect(name);
            for (field, _) in fields {
                assert!(known["properties"].get(*field).is_some(), "{name} has no {field}");
            }
        }
    }
}

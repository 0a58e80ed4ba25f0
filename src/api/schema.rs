//! Schemas of the OpenAPI document that no derive can make: vocabularies, the cluster's spec, headers, error answers.

use std::collections::BTreeMap;

use fleetbeat_actors::{
    event::EventType,
    health::{Cause, Connectivity, Endpoint, NotRun, State},
    roll::{ClusterType, Environment, Platform},
};
use serde_json::{Value, json};
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Object, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, SchemaFormat,
        schema::{AdditionalProperties, SchemaType, Type},
    },
};

use super::error::ErrorEnvelope;
use crate::{
    registration::{Spec, validate},
    silences::Standing,
    store::AuditOutcome,
};

macro_rules! vocabularies {
    ($($(#[$doc:meta])* $name:ident: $all:expr;)+) => {
        $($(#[$doc])* pub fn $name() -> Object { words($all.iter().map(|word| word.as_str()), false) })+
    };
}

vocabularies! {
    /// Schema of [`State`].
    state: State::ALL;
    /// Schema of [`Connectivity`].
    connectivity: Connectivity::ALL;
    /// Schema of [`ClusterType`].
    cluster_type: ClusterType::ALL;
    /// Schema of [`Platform`].
    platform: Platform::ALL;
    /// Schema of [`Environment`].
    environment: Environment::ALL;
    /// Schema of [`Endpoint`].
    endpoint: Endpoint::ALL;
    /// Schema of [`EventType`].
    event_type: EventType::ALL;
    /// Schema of [`AuditOutcome`].
    audit_outcome: AuditOutcome::ALL;
    /// Schema of [`Standing`].
    standing: Standing::ALL;
}

/// Schema of a probe's cause: [`Cause`], [`NotRun`], or null.
pub fn cause() -> Object {
    words(Cause::ALL.iter().map(|word| word.as_str()).chain(NotRun::ALL.iter().map(|word| word.as_str())), true)
}

/// A pattern in place of a plain string.
fn matching(pattern: &str) -> Object {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
}

/// `If-Match`: `*`, or a generation as a tag.
pub fn if_match() -> Object {
    matching(r#"^(\*|(W/)?"[1-9][0-9]{0,17}(-[0-9a-z-]{0,60})?")$"#)
}

/// A position in the event log, as a header.
pub fn position() -> Object {
    matching("^(0|[1-9][0-9]{0,17})$")
}

/// The token of a keyset list.
pub fn token() -> Object {
    matching("^([0-9a-f]{2}){1,512}$")
}

/// Length of a window of time.
pub fn length() -> Object {
    matching("^([1-9][0-9]{0,2}[mh]|([1-9]|[1-8][0-9]|90)d)$")
}

/// `key=value`, repeated.
pub fn label_filters() -> utoipa::openapi::schema::Array {
    let word = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?";
    many(matching(&format!("^([a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?/)?{word}=({word})?$")))
}

/// Schema of many values of a vocabulary, as a repeatable parameter.
fn many(of: Object) -> utoipa::openapi::schema::Array {
    utoipa::openapi::schema::ArrayBuilder::new().items(of).max_items(Some(16)).build()
}

macro_rules! repeatable {
    ($($(#[$doc:meta])* $name:ident: $of:ident;)+) => {
        $($(#[$doc])* pub fn $name() -> utoipa::openapi::schema::Array { many($of()) })+
    };
}

repeatable! {
    /// Any of several states.
    states: state;
    /// Any of several cluster types.
    cluster_types: cluster_type;
    /// Any of several platforms.
    platforms: platform;
    /// Any of several environments.
    environments: environment;
    /// Any of several event types.
    event_types: event_type;
    /// Any of several standings of a silence.
    standings: standing;
}

fn words(words: impl Iterator<Item = &'static str>, nullable: bool) -> Object {
    let values = words.map(Value::from).chain(nullable.then_some(Value::Null));
    ObjectBuilder::new().schema_type(kind(Type::String, nullable)).enum_values(Some(values.collect::<Vec<_>>())).build()
}

fn kind(of: Type, nullable: bool) -> SchemaType {
    if nullable { SchemaType::Array(vec![of, Type::Null]) } else { SchemaType::Type(of) }
}

fn text(max: usize, nullable: bool) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(kind(Type::String, nullable))
        .min_length(Some(1))
        .max_length(Some(max))
        .pattern(Some(r"^[^\x00-\x1F\x7F-\x9F]+$"))
}

fn url(nullable: bool) -> ObjectBuilder {
    let label = "[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?";
    let last = "[A-Za-z]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?";
    let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    let port = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
    let path = "(/[A-Za-z0-9._~%!$&'()*+,;=:@-]*)*";
    let host = format!(r"(({label}\.){{0,10}}{last}|{byte}(\.{byte}){{3}}|\[[0-9A-Fa-f:.]+\])");
    ObjectBuilder::new()
        .schema_type(kind(Type::String, nullable))
        .format(Some(SchemaFormat::Custom("uri".to_owned())))
        .max_length(Some(validate::MAX_URL))
        .pattern(Some(format!("^https?://{host}(:{port})?{path}$")))
        .description(Some("http or https; a host, an optional port and path; no user, query or fragment"))
}

fn whole(min: u32, max: u32) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind(Type::Integer, true)).minimum(Some(min)).maximum(Some(max))
}

fn labels(nullable_values: bool) -> ObjectBuilder {
    let word = "([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)";
    let value = ObjectBuilder::new()
        .schema_type(kind(Type::String, nullable_values))
        .max_length(Some(63))
        .pattern(Some(format!("^{word}?$")));
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(format!("^([a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?/)?{word}$")));
    ObjectBuilder::new()
        .schema_type(kind(Type::Object, true))
        .property_names(Some(key))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::Object(value.build())))))
        .max_properties(Some(validate::MAX_LABELS))
        .description(Some("Labels with the syntax of Kubernetes"))
}

fn closed(of: ObjectBuilder) -> ObjectBuilder {
    of.additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

fn endpoints() -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(kind(Type::Object, true));
    closed(
        object.property("prometheus_url", url(true)).property("tempo_url", url(true)).property("loki_url", url(true)),
    )
}

fn health_check() -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(kind(Type::Object, true));
    closed(
        object
            .property("interval_seconds", whole(5, 3600))
            .property("timeout_seconds", whole(1, 300).description(Some("At most interval_seconds")))
            .property("failure_threshold", whole(1, 10))
            .property("success_threshold", whole(1, 10)),
    )
}

fn spec(nullable_labels: bool) -> ObjectBuilder {
    let word = |all: Vec<&'static str>| words(all.into_iter(), true);
    let pem = ObjectBuilder::new().schema_type(kind(Type::String, true)).max_length(Some(validate::MAX_CA_BUNDLE));
    let dns =
        text(253, true).pattern(Some(r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,30}[a-z0-9])?){0,4}$"));
    let source = text(validate::MAX_SOURCE, true).pattern(Some(validate::SOURCE_PATTERN));
    closed(ObjectBuilder::new())
        .property("display_name", text(128, true))
        .property("api_server_url", url(false))
        .property("cluster_type", word(ClusterType::ALL.iter().map(|word| word.as_str()).collect()))
        .property("platform", word(Platform::ALL.iter().map(|word| word.as_str()).collect()))
        .property("platform_version", text(20, true))
        .property("region", text(64, true))
        .property("environment", word(Environment::ALL.iter().map(|word| word.as_str()).collect()))
        .property("labels", labels(nullable_labels))
        .property("endpoints", endpoints())
        .property("ca_bundle", pem.description(Some("PEM certificates that alone are trusted for the API server")))
        .property("tls_server_name", dns.description(Some("Name to verify in place of the URL's host")))
        .property("health_check", health_check())
        .property("source", source.description(Some("Where the cluster was imported from; unique in the fleet")))
}

impl PartialSchema for Spec {
    fn schema() -> RefOr<Schema> {
        let example = json!({
            "name": "prod-east-1", "display_name": "Production East 1",
            "api_server_url": "https://api.prod-east-1.example.com:6443", "cluster_type": "SPOKE",
            "platform": "OPENSHIFT", "region": "us-east-1", "environment": "PRODUCTION",
            "labels": {"team": "platform", "cost-center": "eng-001"},
            "endpoints": {"prometheus_url": "https://thanos-querier.openshift-monitoring.svc:9091"},
        });
        let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some(validate::NAME_PATTERN));
        let name = name.description(Some("Unique in the fleet, never changes"));
        spec(false).property("name", name).required("name").required("api_server_url").examples([example]).into()
    }
}

impl ToSchema for Spec {
    fn name() -> std::borrow::Cow<'static, str> {
        "ClusterRegistration".into()
    }
}

/// Body of a `PUT`: the fields it carries are replaced.
pub struct Fields;

impl PartialSchema for Fields {
    fn schema() -> RefOr<Schema> {
        spec(false).description(Some("`name` may be given, but never changes. Each field carried replaces the whole field; null sets it to its default")).into()
    }
}

impl ToSchema for Fields {
    fn name() -> std::borrow::Cow<'static, str> {
        "ClusterUpdate".into()
    }
}

/// Body of a `PATCH`: a JSON merge patch.
pub struct MergePatch;

impl PartialSchema for MergePatch {
    fn schema() -> RefOr<Schema> {
        spec(true).description(Some("JSON merge patch (RFC 7396): objects are merged, null removes")).into()
    }
}

impl ToSchema for MergePatch {
    fn name() -> std::borrow::Cow<'static, str> {
        "ClusterMergePatch".into()
    }
}

macro_rules! error_answers {
    ($($(#[$doc:meta])* $name:ident: $($status:literal = $why:literal),+;)+) => {
        $($(#[$doc])* pub struct $name;
        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                BTreeMap::from([$(($status.to_owned(), error($why))),+])
            }
        })+
    };
}

error_answers! {
    /// What every operation may answer.
    Always: "400" = "The request cannot be understood: INVALID_REQUEST", "408" = "The request was not complete in time",
        "500" = "Our own fault: INTERNAL_ERROR";
    /// What every operation on one cluster may answer.
    OneCluster: "404" = "CLUSTER_NOT_FOUND; CREDENTIALS_NOT_FOUND where credentials are asked for";
    /// What every operation with a body may answer.
    WithBody: "413" = "PAYLOAD_TOO_LARGE", "415" = "UNSUPPORTED_MEDIA_TYPE";
    /// What every operation that needs the database may answer.
    NeedsStore: "503" = "The database does not answer: DEPENDENCY_UNAVAILABLE; or a cluster that is asked: CLUSTER_UNREACHABLE";
    /// What every conditional write may answer.
    Conditional: "412" = "If-Match names another generation: PRECONDITION_FAILED";
}

/// An error answer.
pub fn error(why: &str) -> RefOr<Response> {
    let envelope = Ref::from_schema_name(ErrorEnvelope::name().into_owned());
    let problem = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(why)
        .content("application/json", ContentBuilder::new().schema(Some(envelope)).build())
        .content("application/problem+json", ContentBuilder::new().schema(Some(problem)).build())
        .build()
        .into()
}

/// Body of an import.
pub struct ImportRequest;

impl PartialSchema for ImportRequest {
    fn schema() -> RefOr<Schema> {
        let clusters = utoipa::openapi::schema::ArrayBuilder::new()
            .items(RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::Object).build())))
            .max_items(Some(crate::registration::MAX_IMPORT))
            .description(Some("The clusters, each as for registering one; those registered already as for PUT. One with a `source` is \
                found again by it, whatever its name became"))
            .build();
        closed(ObjectBuilder::new()).property("clusters", clusters).required("clusters").into()
    }
}

impl ToSchema for ImportRequest {}

//! Extractors: they parse, so that handlers can narrate. Each refuses with an error that names what is wrong.

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, header, request::Parts},
};
use fleetbeat_actors::roll::ClusterId;
use http_body_util::LengthLimitError;
use serde_json::{Map, Value};
use utoipa::{
    IntoParams,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};
use uuid::Uuid;

use super::{error::ApiError, gate::Bounds, schema};
use crate::{listener::BodyTooSlow, registration::Precondition};

/// Largest body of an ordinary request, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// Largest body of an import, in bytes.
pub const MAX_IMPORT_BODY: usize = 8 * 1024 * 1024;

/// A UUID in its hyphenated form only: `urn:uuid:…` and `{…}` would be second spellings of one resource.
pub fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// The ids in the path, in their order.
///
/// # Errors
/// The first that is no UUID.
pub async fn ids<const N: usize>(parts: &mut Parts, state: &(impl Send + Sync)) -> Result<[Uuid; N], ApiError> {
    let wrong = |name: &str| ApiError::invalid_field(name, "must be a UUID");
    let given = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
    let Path(given) = given.map_err(|_| wrong("id"))?;
    let mut ids = [Uuid::nil(); N];
    for (id, (name, text)) in ids.iter_mut().zip(given) {
        *id = uuid(&text).ok_or_else(|| wrong(&name))?;
    }
    Ok(ids)
}

/// The id in the path, of a cluster.
pub struct Id(pub ClusterId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        ids(parts, state).await.map(|[id]| Self(ClusterId(id)))
    }
}

/// The id in the path, of anything else.
pub struct ObjectId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for ObjectId {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        ids(parts, state).await.map(|[id]| Self(id))
    }
}

/// The name in the path.
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let invalid = |message: String| {
            let mut error = ApiError::invalid_field("name", message);
            error.code = "INVALID_CLUSTER_NAME";
            error
        };
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| invalid("is not valid UTF-8".to_owned()))?;
        crate::registration::validate::name(&text).map_err(invalid)?;
        Ok(Self(text))
    }
}

/// `If-Match`: `None` for no header or `*`, otherwise the generation expected.
pub struct IfMatch(pub Option<Precondition>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let generation = generation_of(text);
        let wrong = || ApiError::invalid_field("If-Match", "must be an entity tag of a cluster, or *");
        generation.map(|generation| Self(Some(Precondition(generation)))).ok_or_else(wrong)
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let header = ParameterBuilder::new().name("If-Match").parameter_in(ParameterIn::Header);
        let about = "Generation expected: `\"3\"`, or the whole `ETag` of a read";
        vec![header.required(Required::False).description(Some(about)).schema(Some(schema::if_match())).build()]
    }
}

/// The generation in an entity tag of ours: `"3"`, or `"3-…"` as a read gave it, or either as a weak tag.
fn generation_of(tag: &str) -> Option<i64> {
    let quoted = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    let digits = quoted.split('-').next()?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Does `If-None-Match` name this tag?
pub fn none_match(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|given| {
        let given = given.trim();
        given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag
    })
}

/// A JSON object of at most `MAX` bytes, of content type `application/json` (or another `…+json` that we know).
pub struct JsonObject<const MAX: usize = MAX_BODY>(pub Map<String, Value>);

impl<S: Send + Sync, const MAX: usize> FromRequest<S> for JsonObject<MAX> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        check_content_type(request.headers())?;
        let bounds = request.extensions().get::<Bounds>().copied().unwrap_or_default();
        let bytes = read_body(request, MAX.min(bounds.body)).await?;
        match parse(&bytes, bounds.depth)? {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(ApiError::invalid_field("body", "must be a JSON object")),
        }
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    let known = ["application/json", "application/merge-patch+json"];
    if known.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        Ok(())
    } else {
        Err(ApiError::unsupported_media_type("application/json"))
    }
}

async fn read_body(request: Request, max: usize) -> Result<axum::body::Bytes, ApiError> {
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|told| told > max as u64) {
        return Err(ApiError::payload_too_large(max));
    }
    to_bytes(request.into_body(), max).await.map_err(|error| {
        let cause = std::error::Error::source(&error);
        match cause {
            Some(cause) if cause.is::<LengthLimitError>() => ApiError::payload_too_large(max),
            Some(cause) if is_too_slow(cause) => ApiError::timed_out(),
            Some(_) | None => ApiError::invalid_field("body", "broke off"),
        }
    })
}

fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<BodyTooSlow>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// How deep brackets are nested outside of texts.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => now += 1,
            b'}' | b']' if !in_text => now = now.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(now);
    }
    deepest
}

fn parse(bytes: &[u8], most: usize) -> Result<Value, ApiError> {
    if depth(bytes) > most {
        return Err(ApiError::invalid_field("body", format!("is nested deeper than {most} levels")));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let what = if error.is_eof() { "ends too early" } else { "is not valid JSON" };
        let place = format!("{what} at line {} column {}", error.line(), error.column());
        ApiError::invalid_field("body", place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_its_generation() {
        assert_eq!(generation_of("\"3\""), Some(3));
        assert_eq!(generation_of("W/\"3-17-9a-f\""), Some(3));
        for bad in ["3", "\"\"", "\"x\"", "\"+3\"", "", "\"", "\"3"] {
            assert_eq!(generation_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_brackets_outside_of_texts_are_depth() {
        assert_eq!(depth(br#"{"a": [1, {"b]": "[[[\"[["}], "c": {}}"#), 3);
        let deep = "[".repeat(33) + &"]".repeat(33);
        assert_eq!(parse(deep.as_bytes(), 32).unwrap_err().details[0].message, "is nested deeper than 32 levels");
    }

    #[test]
    fn broken_json_is_told_with_its_place() {
        let error = parse(b"{\n  \"a\": 1,,\n}", 32).unwrap_err();
        assert_eq!(error.details[0].message, "is not valid JSON at line 2 column 10");
    }
}

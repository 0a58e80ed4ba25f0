//! From settings to who may call.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use chrono::TimeDelta;
use fleetbeat_actors::ports::Clock;
use secrecy::SecretString;

use crate::{
    breaker::Breakers,
    config::{AuthAccessReview, AuthGateway, AuthGrant, AuthOidc, AuthPart, RightsFrom, Settings},
    hub::{Hub, Reviews, Right},
    identity::{
        Gateway, Grant, Grants, Identity, Keyring, Kubernetes, Part, Rights, Role, Rules, Scope, Sessions, first_token,
        oidc::{Login, LoginRules, Oidc, OidcRules, Provider, Wire},
    },
    store::Store,
};

/// Who may call, by every method that is set.
pub(super) async fn identity(
    settings: &Settings,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    breakers: &Breakers,
) -> anyhow::Result<Identity> {
    let (auth, mut identity) = (&settings.auth, Identity::open());
    if auth.tokens.enabled {
        identity = identity.with_tokens(Arc::new(keyring(&settings.data_dir, store, clock).await?));
    }
    if auth.oidc.is_on() {
        let oidc = Arc::new(oidc(&auth.oidc, clock, breakers)?);
        if auth.oidc.is_login_on() {
            let login = login(&auth.oidc, Arc::clone(&oidc), store, clock).await?;
            identity = identity.with_login(Arc::new(login));
        }
        identity = identity.with_oidc(oidc);
    }
    if auth.kubernetes.enabled {
        identity = identity.with_kubernetes(Arc::new(kubernetes(settings, clock, breakers).await?));
    }
    if auth.gateway.is_on() {
        identity = identity.with_gateway(Arc::new(gateway(&auth.gateway)?));
    }
    Ok(identity)
}

async fn keyring(data_dir: &Path, store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> anyhow::Result<Keyring> {
    let keyring = Keyring::load(Arc::clone(store), Arc::clone(clock)).await.context("the tokens cannot be read")?;
    if let Some(path) = first_token(&keyring, data_dir).await? {
        tracing::warn!(file = %path.display(), "the first token, for an administrator, was made: it lies in this file");
    }
    Ok(keyring)
}

fn oidc(set: &AuthOidc, clock: &Arc<dyn Clock>, breakers: &Breakers) -> anyhow::Result<Oidc> {
    let ca_file = (!set.ca_file.as_os_str().is_empty()).then_some(set.ca_file.as_path());
    let wire = Wire::new(ca_file).context("auth.oidc.ca_file")?.behind(Arc::clone(&breakers.issuer));
    let algorithms: Result<_, _> = set.algorithms.iter().map(|word| word.parse()).collect();
    let rules = OidcRules {
        audiences: set.audiences.clone(),
        algorithms: algorithms.context("auth.oidc.algorithms")?,
        needs_nbf: set.require_nbf,
        skew: TimeDelta::from_std(set.clock_skew).context("auth.oidc.clock_skew_seconds")?,
        name_claim: set.name_claim.clone(),
        groups_claim: set.groups_claim.clone(),
    };
    let provider = Arc::new(Provider::new(set.issuer.clone(), wire, Arc::clone(clock)));
    Ok(Oidc::new(provider, Arc::clone(clock), rules, grants("auth.oidc.grants", &set.grants)?))
}

async fn login(
    set: &AuthOidc,
    oidc: Arc<Oidc>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Login> {
    let life = TimeDelta::hours(i64::from(set.session_hours));
    let sessions = Sessions::load(Arc::clone(store), Arc::clone(clock), life).await;
    let sessions = sessions.context("the sessions cannot be read")?;
    let rules = LoginRules {
        client_id: set.client_id.clone(),
        client_secret: client_secret(set).context("auth.oidc.client_secret_file")?,
        scopes: set.scopes.clone(),
        public_url: set.public_url.parse().context("auth.oidc.public_url")?,
        name: set.login_name.clone(),
    };
    Login::new(oidc, Arc::new(sessions), Arc::clone(clock), rules)
}

fn client_secret(set: &AuthOidc) -> anyhow::Result<Option<SecretString>> {
    if set.client_secret_file.as_os_str().is_empty() {
        return Ok(set.client_secret.secret());
    }
    let text = std::fs::read_to_string(&set.client_secret_file)?;
    let secret = text.trim();
    anyhow::ensure!(!secret.is_empty() && secret.len() <= 4_096, "the file holds no secret");
    Ok(Some(secret.into()))
}

async fn kubernetes(settings: &Settings, clock: &Arc<dyn Clock>, breakers: &Breakers) -> anyhow::Result<Kubernetes> {
    let set = &settings.auth.kubernetes;
    let hub = super::hub::needed_by("auth.kubernetes.enabled", settings, Some(&breakers.hub)).await?;
    let rights = match set.rights {
        RightsFrom::Grants => Rights::Grants(grants("auth.kubernetes.grants", &set.grants)?),
        RightsFrom::AccessReview => Rights::Rules(Box::new(rules(&set.access_review, &hub, clock)?)),
    };
    let reviews = Reviews::new(Arc::new(hub), Arc::clone(clock));
    Ok(Kubernetes::new(reviews, Arc::clone(clock), set.audience.clone(), rights))
}

fn rules(set: &AuthAccessReview, hub: &Hub, clock: &Arc<dyn Clock>) -> anyhow::Result<Rules> {
    let verb = |role| match role {
        Role::Viewer => &set.viewer_verb,
        Role::Operator => &set.operator_verb,
        Role::Admin => &set.admin_verb,
    };
    let (group, resource) = (&set.group, &set.resource);
    let right = |role| Right { group: group.clone(), resource: resource.clone(), verb: verb(role).clone(), name: None };
    let parts: anyhow::Result<Vec<Part>> = set.parts.iter().enumerate().map(part).collect();
    Ok(Rules::new(Arc::new(hub.clone()), Arc::clone(clock), right).with_parts(parts?))
}

fn part((at, set): (usize, &AuthPart)) -> anyhow::Result<Part> {
    let scope = match set.label_selector.as_str() {
        "" => Scope::clusters(&set.cluster_ids),
        selector => Scope::labels(selector.to_owned()),
    };
    let scope =
        scope.map_err(anyhow::Error::msg).with_context(|| format!("auth.kubernetes.access_review.parts[{at}]"))?;
    Ok(Part { name: set.name.clone(), scope })
}

fn gateway(set: &AuthGateway) -> anyhow::Result<Gateway> {
    Ok(Gateway::new(set.client_names.clone(), set.unix_socket, grants("auth.gateway.grants", &set.grants)?))
}

fn grants(key: &str, set: &[AuthGrant]) -> anyhow::Result<Grants> {
    let grants = set.iter().enumerate().map(|(at, set)| grant(set).with_context(|| format!("{key}[{at}]")));
    grants.collect::<Result<_, _>>().map(Grants::new)
}

fn grant(set: &AuthGrant) -> anyhow::Result<Grant> {
    let scope = match set.label_selector.as_str() {
        "" if set.cluster_ids.is_empty() => Scope::Everything,
        "" => Scope::clusters(&set.cluster_ids).map_err(anyhow::Error::msg)?,
        selector => Scope::labels(selector.to_owned()).map_err(anyhow::Error::msg)?,
    };
    Ok(Grant { group: set.group.clone(), role: set.role.parse()?, scope })
}

//! Discovery: what a cluster can do, found out with its own credentials, apart from its health checks. Opens no socket:
//! `probes` does, through the port in `ask`. What is concluded from answers is pure.

mod ask;
mod capabilities;
mod conclude;
mod evidence;
mod gap;
mod interview;
mod permissions;
mod plan;
mod read;
mod rounds;
mod rules;
mod suggest;
mod survey;
#[cfg(test)]
mod testing;

pub use ask::{Conversation, Inquirer, Question, Reply, Silence};
pub use capabilities::{Capabilities, SuggestedEndpoints};
pub use conclude::conclude;
pub use evidence::{Evidence, Workloads};
pub use gap::{Gap, Unknown};
pub use interview::{Budget, Interview, Listing};
pub use permissions::{Lacking, Permissions, lacking};
pub use plan::Habits;
pub use read::{Endpoint, Node, Route};
pub use rounds::{Discovered, Discoverer, DiscoveryError, Manner};
pub use survey::survey;

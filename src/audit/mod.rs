//! The audit log's side of those who act: who they are, what they did, and what they were refused. The rows and their chain
//! are the store's; what a route does is for `api` to say.

mod allowance;
mod journal;
mod origin;
mod verify;

pub use journal::{Journal, JournalRules};
pub use origin::{Action, Origin};
pub use verify::{Broken, Fault, Verification, verify};

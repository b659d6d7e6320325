//! Who sends a request.

use std::sync::Arc;

use x0_engine::Tenant;
use x0_openapi::Scope;

use super::allowance::Allowance;
use super::key_file::Key;
use super::token::KeyId;

/// A key, and what it has used.
#[derive(Debug)]
pub struct Account {
    pub key: Key,
    pub allowance: Allowance,
}

/// Who sends a request.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The server asks for no keys.
    Anyone {
        admin: bool,
    },
    Account(Arc<Account>),
}

impl Caller {
    pub fn may(&self, scope: Scope) -> bool {
        match (self, scope) {
            (Caller::Anyone { .. }, Scope::Generate | Scope::Read) => true,
            (Caller::Anyone { admin }, Scope::Admin) => *admin,
            (Caller::Account(account), scope) => account.key.scopes.contains(&scope),
        }
    }

    /// To whom belongs what it makes.
    pub fn owner(&self) -> Owner {
        match self {
            Caller::Anyone { .. } => Owner(None),
            Caller::Account(account) => Owner(Some(account.key.id)),
        }
    }

    /// How much it may use; `None` is no limit but the server's own.
    pub fn allowance(&self) -> Option<&Allowance> {
        match self {
            Caller::Anyone { .. } => None,
            Caller::Account(account) => Some(&account.allowance),
        }
    }
}

/// To whom a generation belongs: to a key, or to everyone where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub Option<KeyId>);

impl Owner {
    /// Whose share of the engine is counted.
    pub fn tenant(self) -> Tenant {
        Tenant(self.0.map_or(0, |id| id.0))
    }
}

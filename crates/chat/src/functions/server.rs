//! What the server says about itself.

use spool_protocol::Result;
use spool_store::Tx;

use super::Nothing;
use crate::context::{CallContext, ServerInfo};

/// `server:info`
pub fn info(_tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<ServerInfo> {
    Ok(ctx.settings.info.clone())
}

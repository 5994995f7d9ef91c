//! What a client still sends of a request that has been answered already.

use h2::RecvStream;
use tokio::time::timeout;

use crate::front::{LINGER, LINGER_BYTES};

/// Takes what still comes, for a while. Most clients stop sending by themselves when they have read the
/// response; some never show it if they are told to stop before they have read it.
pub(super) async fn discard(mut body: RecvStream) {
    let _ = timeout(LINGER, take(&mut body)).await;
    //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1
    //# a server MAY request that the client abort transmission of a request without error by sending a
    //# RST_STREAM with an error code of NO_ERROR after sending a complete response (i.e., a frame with
    //# the END_STREAM flag set).
    // The codec does so, unless all has come, when it sees that nobody reads any more: here.
}

async fn take(body: &mut RecvStream) {
    let mut taken = 0;
    while taken < LINGER_BYTES
        && let Some(Ok(data)) = body.data().await
    {
        taken += data.len();
        let _ = body.flow_control().release_capacity(data.len());
    }
}

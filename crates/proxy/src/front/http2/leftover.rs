//! What a client still sends of a request that has been answered already.

use std::convert::Infallible;
use std::future::pending;

use h2::RecvStream;
use tokio::time::timeout;

use crate::front::{LINGER, LINGER_BYTES};

/// Content of one request that goes nowhere.
#[derive(Debug, Default)]
pub(super) struct Leftover {
    /// Bytes of it that have come.
    taken: usize,
}

impl Leftover {
    /// Counts what has been taken and goes nowhere: the client may send as much again.
    pub(super) fn release(&mut self, body: &mut RecvStream, length: usize) {
        self.taken += length;
        let _ = body.flow_control().release_capacity(length);
    }

    /// Takes what comes while the response is on its way: the codec closes the connection when too many
    /// small frames are left with it. Comes to no end.
    pub(super) async fn take_beside(&mut self, body: &mut RecvStream) -> Infallible {
        self.take(body).await;
        // Of what is too much, the window of the stream lets a little come.
        while let Some(Ok(_)) = body.data().await {}
        pending().await
    }

    /// Takes what comes after the response, for a while. Most clients stop sending by themselves when
    /// they have read the response; some never show it if they are told to stop before they have read it.
    pub(super) async fn take_behind(mut self, mut body: RecvStream) {
        if !body.is_end_stream() {
            let _ = timeout(LINGER, self.take(&mut body)).await;
        }
        //= https://www.rfc-editor.org/rfc/rfc9113#section-8.1
        //# a server MAY request that the client abort transmission of a request without error by sending a
        //# RST_STREAM with an error code of NO_ERROR after sending a complete response (i.e., a frame with
        //# the END_STREAM flag set).
        // The codec does so, unless all has come, when it sees that nobody reads any more: here.
    }

    async fn take(&mut self, body: &mut RecvStream) {
        while self.taken < LINGER_BYTES
            && let Some(Ok(data)) = body.data().await
        {
            self.release(body, data.len());
        }
    }
}

//! What holds for any bytes: the bodies of the fuzz targets, on generated inputs.

use super::generate;
use crate::fuzzing;
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_request_head_reads_the_same_however_it_is_cut_and_written_again(
        bytes in generate::request(),
    ) {
        fuzzing::request_head(&bytes);
    }

    #[test]
    fn a_response_head_reads_the_same_however_it_is_cut_and_written_again(
        bytes in generate::response(),
    ) {
        fuzzing::response_head(&bytes);
    }

    #[test]
    fn chunked_content_reads_the_same_at_every_split_point_and_written_again(
        bytes in generate::chunked(),
    ) {
        fuzzing::chunked(&bytes);
    }

    #[test]
    fn a_connection_gives_the_same_requests_however_it_is_cut(bytes in generate::connection()) {
        fuzzing::connection(&bytes);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        fuzzing::request_head(&bytes);
        fuzzing::response_head(&bytes);
        fuzzing::chunked(&bytes);
        fuzzing::connection(&bytes);
    }

    #[test]
    fn written_chunks_read_back_as_the_content_they_were_cut_from(
        chunks in vec(vec(any::<u8>(), 1..40), 0..8),
    ) {
        let mut out = Vec::new();
        for chunk in &chunks {
            crate::encode::chunk_start(&mut out, chunk.len());
            out.extend_from_slice(chunk);
            out.extend_from_slice(crate::encode::CHUNK_END);
        }
        crate::encode::last_chunk(&mut out, [(&b"Digest"[..], &b"x"[..])]);
        let limits = crate::Limits::default();
        let decoded = fuzzing::decode_body(crate::Framing::Chunked, &limits, [&out[..]]);
        prop_assert_eq!(&decoded.content, &chunks.concat());
        prop_assert!(decoded.complete);
        prop_assert_eq!(decoded.taken, out.len());
        prop_assert_eq!(decoded.trailers, vec![(b"Digest".to_vec(), b"x".to_vec())]);
    }
}

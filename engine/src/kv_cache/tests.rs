//! Rings, roll-backs and what they forget.

use super::*;

const LIMITS: KvLimits = KvLimits {
    context: 64,
    chunk: 4,
    margin: 3,
};

fn filled(window: Option<usize>, n: usize) -> KvCache {
    let shape = KvShape {
        n_kv_heads: 2,
        head_dim: 32,
        window,
    };
    let mut cache = KvCache::new(&[shape], KvType::F32, LIMITS);
    let pool = Pool::new(1).expect("no thread to start");
    for position in 0..n {
        let row = [position as f32; 64];
        let rows = HeadRows {
            values: &row,
            stride: 64,
        };
        cache.store(&pool, 0, position, rows, rows);
        cache.advance(1);
    }
    cache
}

#[test]
fn a_ring_keeps_the_window() {
    let cache = filled(Some(8), 40);
    let mut out = vec![0.0; 8 * 32];
    cache.read_keys(0, 1, 32..40, &mut out);
    assert!(out.chunks(32).zip(32..).all(|(row, position)| {
        row.iter()
            .all(|&v| v.to_bits() == (position as f32).to_bits())
    }));
}

#[test]
fn truncation_within_the_margin_keeps_the_rest() {
    let mut cache = filled(Some(8), 40);
    assert_eq!(cache.truncate(37), 37);
    assert_eq!(cache.truncate(39), 37, "there is nothing to forget");
}

#[test]
fn truncation_beyond_the_ring_forgets_all() {
    let mut cache = filled(Some(8), 40);
    assert_eq!(cache.truncate(20), 0);
    assert_eq!(cache.len(), 0);
}

#[test]
fn positions_that_were_only_begun_have_overwritten_the_ring() {
    let mut cache = filled(Some(8), 40);
    cache.begin(4);
    assert_eq!(
        cache.truncate(36),
        36,
        "the ring has room for chunk and margin"
    );
    cache.begin(2);
    assert_eq!(
        cache.truncate(35),
        0,
        "the window of 35 begins where 43 was begun"
    );
}

#[test]
fn a_layer_without_window_truncates_anywhere() {
    let mut cache = filled(None, 40);
    assert_eq!(cache.truncate(3), 3);
}

#[test]
fn q8_0_is_within_half_a_step() {
    let mut store = Store::new(KvType::Q8_0, 64, 64);
    let values: Vec<f32> = (0..64).map(|i| (i as f32 - 31.0) / 7.0).collect();
    store.heads(64)[0].write(0, &values);
    let mut out = vec![0.0; 64];
    store.read(0, &mut out);
    for (a, b) in values.iter().zip(&out) {
        assert!((a - b).abs() < 33.0 / 7.0 / 127.0 * 0.51, "{a} {b}");
    }
}

// The element-wise parts of the model for CPU training, each with its gradient, fused so that every
// activation is read and written once. Matrix products stay with the library. One thread: training
// runs one process per core. Plain loops that the compiler turns into vector code.

#include <torch/extension.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

using torch::Tensor;

namespace {

// What activations are held in between the parts: bfloat16, or float32 (`train.precision`).
#ifdef CARAT_FLOAT32
using act = float;
using stored = float;
constexpr auto A = torch::kFloat;

inline float up(act v) { return v; }
inline act down(float f) { return f; }
#else
using act = uint16_t;
using stored = at::BFloat16;
constexpr auto A = torch::kBFloat16;

inline float up(act v) { return std::bit_cast<float>(uint32_t(v) << 16); }
inline act down(float f) {
    uint32_t u = std::bit_cast<uint32_t>(f);
    return act((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
#endif

float *f32(const Tensor &t) { return t.data_ptr<float>(); }
act *acts(const Tensor &t) { return reinterpret_cast<act *>(t.data_ptr<stored>()); }
int64_t *i64(const Tensor &t) { return t.data_ptr<int64_t>(); }
Tensor like(const Tensor &t, at::ScalarType type, at::IntArrayRef shape) { return torch::empty(shape, t.options().dtype(type)); }
Tensor zeros(const Tensor &t, at::IntArrayRef shape) { return torch::zeros(shape, t.options().dtype(torch::kFloat)); }
constexpr auto F = torch::kFloat;

// t = gradient of xhat, turned into the gradient of x, where xhat = x * inv.
inline void norm_gradient(float *t, const float *xhat, float inv, int64_t n) {
    float dot = 0;
    for (int64_t j = 0; j < n; j++) dot += t[j] * xhat[j];
    dot /= float(n);
    for (int64_t j = 0; j < n; j++) t[j] = inv * (t[j] - xhat[j] * dot);
}

// tanh(x / 2). The bound keeps the exponential finite: fast division turns 1 / infinity into NaN.
inline float tanh_half(float x) { return 1 - 2 / (expf(std::min(x, 80.f)) + 1); }

inline float inverse_rms(const float *x, int64_t n, float eps) {
    float s = 0;
    for (int64_t j = 0; j < n; j++) s += x[j] * x[j];
    return 1 / std::sqrt(s / float(n) + eps);
}

}  // namespace

// ---- norm ----------------------------------------------------------------------------------------

Tensor norm_forward(Tensor x, Tensor w, double eps) {
    int64_t N = x.size(0), H = x.size(1);
    Tensor y = like(x, A, {N, H});
    for (int64_t i = 0; i < N; i++) {
        const float *xi = f32(x) + i * H, *wi = f32(w);
        act *yi = acts(y) + i * H;
        float inv = inverse_rms(xi, H, eps);
        for (int64_t j = 0; j < H; j++) yi[j] = down(xi[j] * inv * wi[j]);
    }
    return y;
}

std::vector<Tensor> norm_backward(Tensor x, Tensor w, Tensor g, double eps) {
    int64_t N = x.size(0), H = x.size(1);
    Tensor dx = like(x, F, {N, H}), dw = zeros(x, {H});
    std::vector<float> hat(H);
    for (int64_t i = 0; i < N; i++) {
        const float *xi = f32(x) + i * H, *wi = f32(w);
        const act *gi = acts(g) + i * H;
        float *d = f32(dx) + i * H, *a = f32(dw);
        float inv = inverse_rms(xi, H, eps);
        for (int64_t j = 0; j < H; j++) {
            hat[j] = xi[j] * inv;
            float gj = up(gi[j]);
            a[j] += gj * hat[j];
            d[j] = gj * wi[j];
        }
        norm_gradient(d, hat.data(), inv, H);
    }
    return {dx, dw};
}

// ---- queries, keys, values: norm, weight, rotation ------------------------------------------------
//
// x is [B, T, heads, d]; the result is [B, heads, T, d], as the batched products want it. Without a
// weight (values) there is no rotation either.

Tensor heads_forward(Tensor x, Tensor w, Tensor cs, Tensor sn, double eps) {
    int64_t Bn = x.size(0), T = x.size(1), n = x.size(2), d = x.size(3), half = d / 2;
    bool turn = w.numel() > 0;
    Tensor y = like(x, A, {Bn, n, T, d});
    std::vector<float> v(d);
    for (int64_t b = 0; b < Bn; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t h = 0; h < n; h++) {
                const act *xi = acts(x) + ((b * T + t) * n + h) * d;
                act *yi = acts(y) + ((b * n + h) * T + t) * d;
                for (int64_t j = 0; j < d; j++) v[j] = up(xi[j]);
                float inv = inverse_rms(v.data(), d, eps);
                if (!turn) {
                    for (int64_t j = 0; j < d; j++) yi[j] = down(v[j] * inv);
                    continue;
                }
                const float *wi = f32(w), *c = f32(cs) + t * half, *s = f32(sn) + t * half;
                for (int64_t j = 0; j < half; j++) {
                    float p = v[j] * inv * wi[j], q = v[j + half] * inv * wi[j + half];
                    yi[j] = down(p * c[j] - q * s[j]);
                    yi[j + half] = down(q * c[j] + p * s[j]);
                }
            }
    return y;
}

std::vector<Tensor> heads_backward(Tensor x, Tensor w, Tensor cs, Tensor sn, Tensor g, double eps) {
    int64_t Bn = x.size(0), T = x.size(1), n = x.size(2), d = x.size(3), half = d / 2;
    bool turn = w.numel() > 0;
    Tensor dx = like(x, A, x.sizes()), dw = zeros(x, {turn ? d : 0});
    std::vector<float> hat(d), t_(d);
    for (int64_t b = 0; b < Bn; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t h = 0; h < n; h++) {
                const act *xi = acts(x) + ((b * T + t) * n + h) * d, *gi = acts(g) + ((b * n + h) * T + t) * d;
                act *di = acts(dx) + ((b * T + t) * n + h) * d;
                for (int64_t j = 0; j < d; j++) hat[j] = up(xi[j]);
                float inv = inverse_rms(hat.data(), d, eps);
                for (int64_t j = 0; j < d; j++) hat[j] *= inv;
                if (turn) {
                    const float *wi = f32(w), *c = f32(cs) + t * half, *s = f32(sn) + t * half;
                    float *a = f32(dw);
                    for (int64_t j = 0; j < half; j++) {
                        float gp = up(gi[j]), gq = up(gi[j + half]);
                        float p = gp * c[j] + gq * s[j], q = gq * c[j] - gp * s[j];
                        a[j] += p * hat[j];
                        a[j + half] += q * hat[j + half];
                        t_[j] = p * wi[j];
                        t_[j + half] = q * wi[j + half];
                    }
                } else {
                    for (int64_t j = 0; j < d; j++) t_[j] = up(gi[j]);
                }
                norm_gradient(t_.data(), hat.data(), inv, d);
                for (int64_t j = 0; j < d; j++) di[j] = down(t_[j]);
            }
    return {dx, dw};
}

// ---- softmax of scores, causal and windowed --------------------------------------------------------
//
// In place on [N, rows, T], the scores of T positions in a row. Row i belongs to the one at `first` + i modulo
// `period`. What is not visible becomes 0.

void softmax_forward(Tensor s, int64_t window, int64_t period, int64_t first) {
    int64_t rows = s.size(0) * s.size(1), T = s.size(2);
    std::vector<float> e(T);
    for (int64_t i = 0; i < rows; i++) {
        act *p = acts(s) + i * T;
        int64_t to = first + i % period + 1, from = std::max<int64_t>(0, to - window);
        float most = -1e30f, sum = 0;
        for (int64_t j = from; j < to; j++) most = std::max(most, up(p[j]));
        for (int64_t j = from; j < to; j++) {
            e[j] = expf(up(p[j]) - most);
            sum += e[j];
        }
        float inv = 1 / sum;
        std::fill(p, p + from, act(0));
        for (int64_t j = from; j < to; j++) p[j] = down(e[j] * inv);
        std::fill(p + to, p + T, act(0));
    }
}

void softmax_backward(Tensor s, Tensor g, int64_t window, int64_t period, int64_t first) {
    int64_t rows = s.size(0) * s.size(1), T = s.size(2);
    for (int64_t i = 0; i < rows; i++) {
        const act *p = acts(s) + i * T;
        act *d = acts(g) + i * T;
        int64_t to = first + i % period + 1, from = std::max<int64_t>(0, to - window);
        float dot = 0;
        for (int64_t j = from; j < to; j++) dot += up(p[j]) * up(d[j]);
        std::fill(d, d + from, act(0));
        for (int64_t j = from; j < to; j++) d[j] = down(up(p[j]) * (up(d[j]) - dot));
        std::fill(d + to, d + T, act(0));
    }
}

// ---- after attention: residual, inputs of MLP and experts, routing ----------------------------------

std::vector<Tensor> after_attention_forward(Tensor x, Tensor a, Tensor wp, Tensor w1, Tensor w2, Tensor v, int64_t k, double eps) {
    // v is the router's matrix with its input scale folded in.
    int64_t N = x.size(0), H = x.size(1), E = v.size(0);
    Tensor r = like(x, F, {N, H}), n1 = like(x, A, {N, H}), n2 = like(x, A, {N, H}), p = like(x, F, {N, E});
    Tensor chosen = like(x, torch::kLong, {N, k}), share = like(x, F, {N, k}), lse = like(x, F, {N}), load = zeros(x, {E});
    std::vector<float> t(H);
    for (int64_t i = 0; i < N; i++) {
        const float *xi = f32(x) + i * H;
        const act *ai = acts(a) + i * H;
        float *ri = f32(r) + i * H, *pi = f32(p) + i * E;
        act *o1 = acts(n1) + i * H, *o2 = acts(n2) + i * H;
        for (int64_t j = 0; j < H; j++) t[j] = up(ai[j]);
        float inv = inverse_rms(t.data(), H, eps);
        const float *w = f32(wp);
        for (int64_t j = 0; j < H; j++) ri[j] = xi[j] + t[j] * inv * w[j];
        inv = inverse_rms(ri, H, eps);
        const float *u1 = f32(w1), *u2 = f32(w2);
        for (int64_t j = 0; j < H; j++) {
            t[j] = ri[j] * inv;
            o1[j] = down(t[j] * u1[j]);
            o2[j] = down(t[j] * u2[j]);
        }
        float most = -1e30f, sum = 0;
        for (int64_t e = 0; e < E; e++) {
            const float *ve = f32(v) + e * H;
            float s = 0;
            for (int64_t j = 0; j < H; j++) s += t[j] * ve[j];
            pi[e] = s;
            most = std::max(most, s);
        }
        for (int64_t e = 0; e < E; e++) sum += pi[e] = std::exp(pi[e] - most);
        f32(lse)[i] = most + std::log(sum);
        for (int64_t e = 0; e < E; e++) f32(load)[e] += pi[e] /= sum;
        float total = 0;
        for (int64_t c = 0; c < k; c++) {
            int64_t best = -1;
            for (int64_t e = 0; e < E; e++) {
                bool taken = false;
                for (int64_t b = 0; b < c; b++) taken |= i64(chosen)[i * k + b] == e;
                if (!taken && (best < 0 || pi[e] > pi[best])) best = e;
            }
            i64(chosen)[i * k + c] = best;
            total += f32(share)[i * k + c] = pi[best];
        }
        for (int64_t c = 0; c < k; c++) f32(share)[i * k + c] /= total;
    }
    return {r, n1, n2, chosen, share, load / double(N), lse.square().mean(), p, lse};
}

std::vector<Tensor> after_attention_backward(Tensor a, Tensor r, Tensor wp, Tensor w1, Tensor w2, Tensor v, Tensor chosen, Tensor share, Tensor p,
                                             Tensor lse, Tensor gr, Tensor g1, Tensor g2, Tensor gshare, Tensor gload, double gz, double eps) {
    int64_t N = r.size(0), H = r.size(1), E = v.size(0), k = chosen.size(1);
    Tensor dr = like(r, F, {N, H}), da = like(r, A, {N, H}), dwp = zeros(r, {H}), dw1 = zeros(r, {H}), dw2 = zeros(r, {H}), dv = zeros(r, {E, H});
    std::vector<float> n(H), t(H), dl(E);
    const float *gl = f32(gload);
    for (int64_t i = 0; i < N; i++) {
        const float *ri = f32(r) + i * H, *pi = f32(p) + i * E, *u1 = f32(w1), *u2 = f32(w2), *gri = f32(gr) + i * H;
        const act *g1i = acts(g1) + i * H, *g2i = acts(g2) + i * H, *ai = acts(a) + i * H;
        float *d = f32(dr) + i * H, *a1 = f32(dw1), *a2 = f32(dw2), *ap = f32(dwp);
        float inv = inverse_rms(ri, H, eps);
        for (int64_t j = 0; j < H; j++) {
            n[j] = ri[j] * inv;
            float x1 = up(g1i[j]), x2 = up(g2i[j]);
            a1[j] += x1 * n[j];
            a2[j] += x2 * n[j];
            t[j] = x1 * u1[j] + x2 * u2[j];
        }
        // The router: mean load, the norm of its logits, and the shares of the chosen.
        float dot = 0;
        for (int64_t e = 0; e < E; e++) dot += pi[e] * gl[e];
        for (int64_t e = 0; e < E; e++) dl[e] = pi[e] * ((gl[e] - dot) + 2 * f32(lse)[i] * float(gz)) / float(N);
        const float *si = f32(share) + i * k, *gs = f32(gshare) + i * k;
        dot = 0;
        for (int64_t c = 0; c < k; c++) dot += si[c] * gs[c];
        for (int64_t c = 0; c < k; c++) dl[i64(chosen)[i * k + c]] += si[c] * (gs[c] - dot);
        for (int64_t e = 0; e < E; e++) {
            const float *ve = f32(v) + e * H, q = dl[e];
            float *ae = f32(dv) + e * H;
            for (int64_t j = 0; j < H; j++) {
                t[j] += q * ve[j];
                ae[j] += q * n[j];
            }
        }
        norm_gradient(t.data(), n.data(), inv, H);
        for (int64_t j = 0; j < H; j++) d[j] = gri[j] + t[j];
        // The branch.
        const float *w = f32(wp);
        for (int64_t j = 0; j < H; j++) n[j] = up(ai[j]);
        inv = inverse_rms(n.data(), H, eps);
        for (int64_t j = 0; j < H; j++) {
            n[j] *= inv;
            ap[j] += d[j] * n[j];
            t[j] = d[j] * w[j];
        }
        norm_gradient(t.data(), n.data(), inv, H);
        act *o = acts(da) + i * H;
        for (int64_t j = 0; j < H; j++) o[j] = down(t[j]);
    }
    return {dr, da, dwp, dw1, dw2, dv};
}

// ---- after the FFN: both branches normed, added, normed; residual; the next norm --------------------

std::vector<Tensor> after_ffn_forward(Tensor r, Tensor dense, Tensor sparse, Tensor w1, Tensor w2, Tensor w, double scale, Tensor wn, double eps) {
    int64_t N = r.size(0), H = r.size(1);
    Tensor x = like(r, F, {N, H}), h = like(r, A, {N, H});
    std::vector<float> a(H), b(H);
    for (int64_t i = 0; i < N; i++) {
        const float *ri = f32(r) + i * H, *u1 = f32(w1), *u2 = f32(w2), *u = f32(w), *un = f32(wn), *si = f32(sparse) + i * H;
        const act *di = acts(dense) + i * H;
        float *xi = f32(x) + i * H;
        act *hi = acts(h) + i * H;
        for (int64_t j = 0; j < H; j++) a[j] = up(di[j]);
        float ia = inverse_rms(a.data(), H, eps), ib = inverse_rms(si, H, eps);
        for (int64_t j = 0; j < H; j++) b[j] = a[j] * ia * u1[j] + si[j] * ib * u2[j];
        float im = inverse_rms(b.data(), H, eps);
        for (int64_t j = 0; j < H; j++) xi[j] = (ri[j] + b[j] * im * u[j]) * float(scale);
        float ix = inverse_rms(xi, H, eps);
        for (int64_t j = 0; j < H; j++) hi[j] = down(xi[j] * ix * un[j]);
    }
    return {x, h};
}

std::vector<Tensor> after_ffn_backward(Tensor dense, Tensor sparse, Tensor x, Tensor w1, Tensor w2, Tensor w, double scale, Tensor wn, Tensor gx,
                                       Tensor gh, double eps) {
    int64_t N = x.size(0), H = x.size(1);
    Tensor dr = like(x, F, {N, H}), dd = like(x, A, {N, H}), ds = like(x, F, {N, H});
    Tensor dw1 = zeros(x, {H}), dw2 = zeros(x, {H}), dw = zeros(x, {H}), dwn = zeros(x, {H});
    std::vector<float> a(H), b(H), m(H), hat(H), t(H);
    for (int64_t i = 0; i < N; i++) {
        const float *u1 = f32(w1), *u2 = f32(w2), *u = f32(w), *un = f32(wn), *si = f32(sparse) + i * H, *xi = f32(x) + i * H, *gxi = f32(gx) + i * H;
        const act *di = acts(dense) + i * H, *ghi = acts(gh) + i * H;
        float *a1 = f32(dw1), *a2 = f32(dw2), *aw = f32(dw), *an = f32(dwn), *r = f32(dr) + i * H, *s = f32(ds) + i * H;
        float ix = inverse_rms(xi, H, eps);
        for (int64_t j = 0; j < H; j++) {
            hat[j] = xi[j] * ix;
            float g = up(ghi[j]);
            an[j] += g * hat[j];
            t[j] = g * un[j];
        }
        norm_gradient(t.data(), hat.data(), ix, H);
        for (int64_t j = 0; j < H; j++) r[j] = (gxi[j] + t[j]) * float(scale);
        for (int64_t j = 0; j < H; j++) a[j] = up(di[j]);
        float ia = inverse_rms(a.data(), H, eps), ib = inverse_rms(si, H, eps);
        for (int64_t j = 0; j < H; j++) {
            a[j] *= ia;
            b[j] = si[j] * ib;
            m[j] = a[j] * u1[j] + b[j] * u2[j];
        }
        float im = inverse_rms(m.data(), H, eps);
        for (int64_t j = 0; j < H; j++) {
            m[j] *= im;
            aw[j] += r[j] * m[j];
            t[j] = r[j] * u[j];
        }
        norm_gradient(t.data(), m.data(), im, H);
        for (int64_t j = 0; j < H; j++) {
            a1[j] += t[j] * a[j];
            a2[j] += t[j] * b[j];
            s[j] = t[j] * u2[j];
            t[j] *= u1[j];
        }
        norm_gradient(s, b.data(), ib, H);
        norm_gradient(t.data(), a.data(), ia, H);
        act *o = acts(dd) + i * H;
        for (int64_t j = 0; j < H; j++) o[j] = down(t[j]);
    }
    return {dr, dd, ds, dw1, dw2, dw, dwn};
}

// ---- GELU(gate) * up, with tanh written as an exponential ------------------------------------------

constexpr float GELU_A = 0.7978845608f, GELU_B = 0.044715f;

Tensor geglu_forward(Tensor x) {
    int64_t N = x.size(0), W = x.size(1) / 2;
    Tensor y = like(x, A, {N, W});
    for (int64_t i = 0; i < N; i++) {
        const act *g = acts(x) + i * 2 * W, *u = g + W;
        act *o = acts(y) + i * W;
        for (int64_t j = 0; j < W; j++) {
            float v = up(g[j]), t = tanh_half(2 * GELU_A * v * (1 + GELU_B * v * v));
            o[j] = down(0.5f * v * (1 + t) * up(u[j]));
        }
    }
    return y;
}

Tensor geglu_backward(Tensor x, Tensor grad) {
    int64_t N = x.size(0), W = x.size(1) / 2;
    Tensor dx = like(x, A, {N, 2 * W});
    for (int64_t i = 0; i < N; i++) {
        const act *g = acts(x) + i * 2 * W, *u = g + W, *q = acts(grad) + i * W;
        act *dg = acts(dx) + i * 2 * W, *du = dg + W;
        for (int64_t j = 0; j < W; j++) {
            float v = up(g[j]), d = up(q[j]), t = tanh_half(2 * GELU_A * v * (1 + GELU_B * v * v));
            float slope = 0.5f * (1 + t) + 0.5f * v * (1 - t * t) * GELU_A * (1 + 3 * GELU_B * v * v);
            dg[j] = down(d * up(u[j]) * slope);
            du[j] = down(d * 0.5f * v * (1 + t));
        }
    }
    return dx;
}

// ---- experts' answers back to their tokens -----------------------------------------------------------

Tensor combine_forward(Tensor y, Tensor row_of, Tensor share) {
    int64_t N = share.size(0), k = share.size(1), H = y.size(1);
    Tensor out = zeros(y, {N, H});
    for (int64_t i = 0; i < N * k; i++) {
        const act *yi = acts(y) + i64(row_of)[i] * H;
        float *o = f32(out) + i / k * H, s = f32(share)[i];
        for (int64_t j = 0; j < H; j++) o[j] += s * up(yi[j]);
    }
    return out;
}

std::vector<Tensor> combine_backward(Tensor y, Tensor row_of, Tensor share, Tensor g) {
    int64_t N = share.size(0), k = share.size(1), H = y.size(1);
    Tensor dy = torch::zeros_like(y), dshare = like(share, F, {N, k});
    for (int64_t i = 0; i < N * k; i++) {
        const act *yi = acts(y) + i64(row_of)[i] * H;
        act *di = acts(dy) + i64(row_of)[i] * H;
        const float *gi = f32(g) + i / k * H;
        float s = f32(share)[i], dot = 0;
        for (int64_t j = 0; j < H; j++) {
            dot += gi[j] * up(yi[j]);
            di[j] = down(gi[j] * s);
        }
        f32(dshare)[i] = dot;
    }
    return {dy, dshare};
}

// Sum of the k rows of every token: the gradient of the copies that went to the experts.
Tensor gather_sum(Tensor g, Tensor row_of, int64_t k) {
    int64_t N = row_of.size(0) / k, H = g.size(1);
    Tensor out = like(g, A, {N, H});
    std::vector<float> t(H);
    for (int64_t i = 0; i < N; i++) {
        std::fill(t.begin(), t.end(), 0.f);
        for (int64_t c = 0; c < k; c++) {
            const act *gi = acts(g) + i64(row_of)[i * k + c] * H;
            for (int64_t j = 0; j < H; j++) t[j] += up(gi[j]);
        }
        for (int64_t j = 0; j < H; j++) acts(out)[i * H + j] = down(t[j]);
    }
    return out;
}

// ---- softcap and cross-entropy: logits become their gradient, in place ---------------------------------

Tensor cap_and_loss(Tensor logits, Tensor targets, Tensor weights, double softcap) {
    int64_t N = logits.size(0), V = logits.size(1);
    Tensor nll = like(weights, F, {N});
    std::vector<float> e(V), slope(V);
    float cap = softcap, twice = 2 / cap;
    for (int64_t i = 0; i < N; i++) {
        act *l = acts(logits) + i * V;
        float sum = 0;
        for (int64_t j = 0; j < V; j++) {
            float t = tanh_half(up(l[j]) * twice);
            slope[j] = 1 - t * t;
            e[j] = expf(cap * t);       // the cap keeps this finite
            sum += e[j];
        }
        int64_t y = i64(targets)[i];
        float w = f32(weights)[i], at = cap * std::tanh(up(l[y]) / cap);
        f32(nll)[i] = std::log(sum) - at;
        float inv = w / sum;
        for (int64_t j = 0; j < V; j++) l[j] = down(e[j] * inv * slope[j]);
        l[y] = down((e[y] * inv - w) * slope[y]);
    }
    return nll;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("norm_forward", &norm_forward);
    m.def("norm_backward", &norm_backward);
    m.def("heads_forward", &heads_forward);
    m.def("heads_backward", &heads_backward);
    m.def("softmax_forward", &softmax_forward);
    m.def("softmax_backward", &softmax_backward);
    m.def("after_attention_forward", &after_attention_forward);
    m.def("after_attention_backward", &after_attention_backward);
    m.def("after_ffn_forward", &after_ffn_forward);
    m.def("after_ffn_backward", &after_ffn_backward);
    m.def("geglu_forward", &geglu_forward);
    m.def("geglu_backward", &geglu_backward);
    m.def("combine_forward", &combine_forward);
    m.def("combine_backward", &combine_backward);
    m.def("gather_sum", &gather_sum);
    m.def("cap_and_loss", &cap_and_loss);
}

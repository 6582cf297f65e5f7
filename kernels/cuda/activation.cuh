// The activations as functions of one element, for kernels that end or begin with one.
//
// To add one: its name in Kind, which is its kernel's, and a case in value() and in gradient().
// The host reads the names here.  What stands before FROM_X has its gradient from y, and is fused
// into the launches of other layers; what stands behind it has its gradient from x, and a launch
// of its own that keeps x.

enum Kind {
    IDENTITY, SIGMOID, TANH, SCALED_TANH, RELU,
    FROM_X,
};

struct Activation {
    int kind;              // one of those above
    double first, second;  // the numbers of its call: A and S of A tanh(S x)
    double ratio;          // second / first: a division of doubles takes a GPU long
};

__device__ inline real value(const Activation& f, real x) {
    switch (f.kind) {
        case SIGMOID: return 1 / (1 + exp(-x));
        case TANH: return tanh(x);
        case SCALED_TANH: return (real)f.first * tanh((real)f.second * x);
        case RELU: return x < 0 ? 0 : x;  // a NaN stays one
        default: return x;
    }
}

// g dy/dx, given y; of the kinds behind FROM_X given x, in y's place.
__device__ inline real gradient(const Activation& f, real g, real y) {
    switch (f.kind) {
        case SIGMOID: return g * y * (1 - y);
        case TANH: return g * (1 - y * y);
        case SCALED_TANH: {
            real a = (real)f.first;
            return g * (real)f.ratio * (a - y) * (a + y);
        }
        case RELU: return y != 0 ? g : 0;  // g for a NaN too; 0 even where g is infinite
        default: return g;
    }
}

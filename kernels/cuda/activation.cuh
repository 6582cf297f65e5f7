// The activations as functions of one element, for kernels that end or begin with one.

struct Activation {
    int kind;                // one of those below
    double amplitude, slope; // of A tanh(S x)
    double ratio;            // S / A: a division of doubles takes a GPU long
};

enum { IDENTITY, SIGMOID, TANH, SCALED_TANH, RELU };

__device__ inline real value(const Activation& f, real x) {
    switch (f.kind) {
        case SIGMOID: return 1 / (1 + exp(-x));
        case TANH: return tanh(x);
        case SCALED_TANH: return (real)f.amplitude * tanh((real)f.slope * x);
        case RELU: return x < 0 ? 0 : x;  // a NaN stays one
        default: return x;
    }
}

// g dy/dx, given y.
__device__ inline real gradient(const Activation& f, real g, real y) {
    switch (f.kind) {
        case SIGMOID: return g * y * (1 - y);
        case TANH: return g * (1 - y * y);
        case SCALED_TANH: {
            real a = (real)f.amplitude;
            return g * (real)f.ratio * (a - y) * (a + y);
        }
        case RELU: return y != 0 ? g : 0;  // g for a NaN too; 0 even where g is infinite
        default: return g;
    }
}

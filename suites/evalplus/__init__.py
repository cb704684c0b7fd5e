"""EvalPlus-form suites: inputs, a reference solution that is the oracle, and EvalPlus' own rules of comparison."""

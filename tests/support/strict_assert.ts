// Makes `console.assert` fail: the examples of the documentation are run with it.

console.assert = (condition, ...what) => {
  if (!condition) throw new Error(`An assertion of an example does not hold: ${what.join(" ")}`);
};

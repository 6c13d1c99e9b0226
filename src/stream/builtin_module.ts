/**
 * The runtime's own modules, without an import, which an edge runtime or a browser could not resolve.
 *
 * @module
 */

/**
 * Returns a module of Node's that the runtime has built in.
 *
 * @param name such as `"node:crypto"`
 * @returns nothing where there is none; not looked for while a module loads
 */
export function builtinModule<T>(name: string): T | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } };
  try {
    return process?.getBuiltinModule?.(name) as T | undefined;
  } catch {
    return undefined; // a runtime that has `process` and not this
  }
}

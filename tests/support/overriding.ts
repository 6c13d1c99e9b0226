// An object as it is, but for some of what it has.

/**
 * Stands for an object, its private members too.
 *
 * @param target the object
 * @param own what is other than there
 */
export function overriding<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      if (Object.hasOwn(own, name)) return own[name as keyof T];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

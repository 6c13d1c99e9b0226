/**
 * The XML of S3's requests and answers.
 *
 * @module
 */

import { parseXml, XmlElement } from "@rgrove/parse-xml";

/** An element of an answer. */
export class S3Element {
  readonly #element: XmlElement;

  constructor(element: XmlElement) {
    this.#element = element;
  }

  /** Its name, without a prefix. */
  get name(): string {
    return this.#element.name.slice(this.#element.name.indexOf(":") + 1);
  }

  /** All the text in it. */
  get text(): string {
    return this.#element.text;
  }

  /** The elements in it of that name. */
  all(name: string): S3Element[] {
    return this.#element.children
      .filter((child) => child instanceof XmlElement)
      .map((child) => new S3Element(child))
      .filter((child) => child.name === name);
  }

  /** The text of the first element in it of that name; nothing if there is none. */
  value(name: string): string | undefined {
    return this.all(name)[0]?.text;
  }
}

/**
 * Reads an answer.
 *
 * @returns its root; nothing if it is no XML that is well-formed and complete
 */
export function readXml(text: string): S3Element | undefined {
  try {
    const { root } = parseXml(text.trimStart()); // S3 sends spaces while it has no answer yet
    return root === null ? undefined : new S3Element(root);
  } catch {
    return undefined;
  }
}

/** Reports whether XML 1.0 can hold this text. */
export function fitsXml(text: string): boolean {
  return /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u.test(text);
}

/** The body of a request to delete objects. The answer names only those that could not be deleted. */
export function deleteXml(keys: readonly string[]): string {
  const objects = keys.map((key) => `<Object><Key>${escaped(key)}</Key></Object>`).join("");
  return `<Delete xmlns="${NAMESPACE}">${objects}<Quiet>true</Quiet></Delete>`;
}

/** The body of a request to make one object of the uploaded parts. */
export function completeXml(etags: readonly string[]): string {
  const parts = etags.map((etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escaped(etag)}</ETag></Part>`);
  return `<CompleteMultipartUpload xmlns="${NAMESPACE}">${parts.join("")}</CompleteMultipartUpload>`;
}

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

function escaped(text: string): string {
  return text.replaceAll(/[&<>"'\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}

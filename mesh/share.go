package mesh

import "unsafe"

// textOf is a body as text, without a copy: bodies are not changed, see Decode.
func textOf(body []byte) string { return unsafe.String(unsafe.SliceData(body), len(body)) }

package mesh

import "encoding/json"

// field returns the value of a name in a JSON object, without decoding the
// rest; nil if there is none. Of several it is the last, as for encoding/json.
// The text must be valid JSON, as what is held is; of other text it returns
// anything.
func field(doc []byte, name string) []byte {
	i := space(doc, 0)
	if i >= len(doc) || doc[i] != '{' {
		return nil
	}
	var found []byte
	for i = space(doc, i+1); i < len(doc) && doc[i] == '"'; {
		end := skipString(doc, i)
		key := doc[i:end]
		i = space(doc, end)
		if i >= len(doc) || doc[i] != ':' {
			return nil
		}
		from := space(doc, i+1)
		to := skipValue(doc, from)
		if isName(key, name) {
			found = doc[from:to]
		}
		i = space(doc, to)
		if i >= len(doc) || doc[i] != ',' {
			break
		}
		i = space(doc, i+1)
	}
	return found
}

// isName reports whether a quoted text is the name.
func isName(quoted []byte, name string) bool {
	if len(quoted) >= 2 && string(quoted[1:len(quoted)-1]) == name {
		return true
	}
	for _, c := range quoted {
		if c == '\\' {
			var s string
			return json.Unmarshal(quoted, &s) == nil && s == name
		}
	}
	return false
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns where the string that begins at i ends.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// skipValue returns where the value that begins at i ends.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // of what it is in
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}

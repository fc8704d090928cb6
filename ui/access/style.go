package access

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// styleHash lets the policy of the login page take its own style and no other.
var styleHash = hashOf(loginPage)

func hashOf(page string) string {
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

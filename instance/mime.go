package instance

import (
	"path"
	"strings"
)

// contentType is the media type for a file name. It does not depend on the
// machine's own lists, so that a site looks the same everywhere.
func contentType(name string) string {
	if t, ok := mediaTypes[strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))]; ok {
		return t
	}
	return "application/octet-stream"
}

// mediaTypes are by extension, in the forms that IANA registers (RFC 9239 for
// JavaScript, RFC 6838 for the rest).
var mediaTypes = map[string]string{
	"atom":        "application/atom+xml; charset=utf-8",
	"css":         "text/css; charset=utf-8",
	"csv":         "text/csv; charset=utf-8",
	"htm":         "text/html; charset=utf-8",
	"html":        "text/html; charset=utf-8",
	"ics":         "text/calendar; charset=utf-8",
	"js":          "text/javascript; charset=utf-8",
	"json":        "application/json",
	"jsonld":      "application/ld+json",
	"log":         "text/plain; charset=utf-8",
	"map":         "application/json",
	"md":          "text/markdown; charset=utf-8",
	"mjs":         "text/javascript; charset=utf-8",
	"rss":         "application/rss+xml; charset=utf-8",
	"rtf":         "application/rtf",
	"svg":         "image/svg+xml; charset=utf-8",
	"toml":        "application/toml",
	"tsv":         "text/tab-separated-values; charset=utf-8",
	"txt":         "text/plain; charset=utf-8",
	"vcf":         "text/vcard; charset=utf-8",
	"vtt":         "text/vtt; charset=utf-8",
	"wasm":        "application/wasm",
	"webmanifest": "application/manifest+json",
	"xhtml":       "application/xhtml+xml; charset=utf-8",
	"xml":         "application/xml; charset=utf-8",
	"xsl":         "application/xslt+xml",
	"yaml":        "application/yaml",
	"yml":         "application/yaml",

	"apng": "image/apng",
	"avif": "image/avif",
	"bmp":  "image/bmp",
	"gif":  "image/gif",
	"heic": "image/heic",
	"ico":  "image/vnd.microsoft.icon",
	"jpeg": "image/jpeg",
	"jpg":  "image/jpeg",
	"jxl":  "image/jxl",
	"png":  "image/png",
	"tif":  "image/tiff",
	"tiff": "image/tiff",
	"webp": "image/webp",

	"otf":   "font/otf",
	"ttf":   "font/ttf",
	"woff":  "font/woff",
	"woff2": "font/woff2",

	"aac":  "audio/aac",
	"avi":  "video/x-msvideo",
	"flac": "audio/flac",
	"m4a":  "audio/mp4",
	"m4v":  "video/mp4",
	"mid":  "audio/midi",
	"mkv":  "video/matroska",
	"mov":  "video/quicktime",
	"mp3":  "audio/mpeg",
	"mp4":  "video/mp4",
	"mpeg": "video/mpeg",
	"mpg":  "video/mpeg",
	"oga":  "audio/ogg",
	"ogg":  "audio/ogg",
	"ogv":  "video/ogg",
	"opus": "audio/ogg",
	"wav":  "audio/wav",
	"weba": "audio/webm",
	"webm": "video/webm",

	"7z":   "application/x-7z-compressed",
	"bz2":  "application/x-bzip2",
	"deb":  "application/vnd.debian.binary-package",
	"doc":  "application/msword",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"epub": "application/epub+zip",
	"gz":   "application/gzip",
	"jar":  "application/java-archive",
	"odp":  "application/vnd.oasis.opendocument.presentation",
	"ods":  "application/vnd.oasis.opendocument.spreadsheet",
	"odt":  "application/vnd.oasis.opendocument.text",
	"pdf":  "application/pdf",
	"ppt":  "application/vnd.ms-powerpoint",
	"pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"tar":  "application/x-tar",
	"tgz":  "application/gzip",
	"xls":  "application/vnd.ms-excel",
	"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"xz":   "application/x-xz",
	"zip":  "application/zip",
	"zst":  "application/zstd",
}

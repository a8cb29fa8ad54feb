package sensors

import "errors"

// splitWords splits a command line into words as a shell does: blanks
// separate, single and double quotes group, a backslash takes the next
// character as it is (within double quotes only before \ and "). Nothing else
// is special: no variables, no globs, no pipes.
func splitWords(line string) ([]string, error) {
	var words []string
	var word []byte
	var quote byte
	started := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'':
			if i+1 == len(line) {
				return nil, errors.New("command ends in a backslash")
			}
			if quote == '"' && line[i+1] != '"' && line[i+1] != '\\' {
				word = append(word, c)
				continue
			}
			i++
			word, started = append(word, line[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word = append(word, c)
		case c == '\'' || c == '"':
			quote, started = c, true
		case c == ' ' || c == '\t':
			if started {
				words = append(words, string(word))
			}
			word, started = word[:0], false
		default:
			word, started = append(word, c), true
		}
	}
	if quote != 0 {
		return nil, errors.New("command has a quote without its end")
	}
	if started {
		words = append(words, string(word))
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("has no program: write command:program and its arguments")
	}
	return words, nil
}

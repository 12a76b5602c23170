#include "init.h"

#include <stdio.h>

static int depth;
static bool needs_comma, after_key;

static void separate(void)
{
	if (needs_comma && !after_key)
		putchar(',');
	needs_comma = true;
	after_key = false;
}

static void end_line(void)
{
	if (depth == 0) {
		putchar('\n');
		fflush(stdout);
		needs_comma = false;
	}
}

void json_open(char bracket)
{
	separate();
	putchar(bracket);
	depth++;
	needs_comma = false;
}

void json_close(char bracket)
{
	putchar(bracket);
	depth--;
	needs_comma = true;
	end_line();
}

void json_bytes(const char *data, size_t size)
{
	separate();
	putchar('"');
	for (size_t i = 0; i < size; i++) {
		unsigned char byte = (unsigned char)data[i];
		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte < 0x20 || byte > 0x7e)
			printf("\\u%04x", byte);
		else
			putchar(byte);
	}
	putchar('"');
	end_line();
}

void json_string(const char *text)
{
	size_t size = 0;
	while (text[size])
		size++;
	json_bytes(text, size);
}

void json_key(const char *key)
{
	json_string(key);
	putchar(':');
	after_key = true;
}

void json_number(long long value)
{
	separate();
	printf("%lld", value);
	end_line();
}

void json_unsigned(unsigned long long value)
{
	separate();
	printf("%llu", value);
	end_line();
}

void json_hex(unsigned long long value)
{
	char text[20];
	snprintf(text, sizeof(text), "%llx", value);
	json_string(text);
}

void json_pair(const char *key, long long value)
{
	json_key(key);
	json_number(value);
}

void json_text(const char *key, const char *text)
{
	json_key(key);
	json_string(text);
}

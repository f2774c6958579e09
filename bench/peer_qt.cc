/* SPDX-License-Identifier: MIT */
/* QSharedMemory: creating attaches, and the last one that detaches removes. */
#include "contender.h"

#include <QSharedMemory>
#include <QString>

static unsigned base;
static QSharedMemory *objects[SLOTS];

static void start(const char *, unsigned from)
{
	base = from;
}

static void open_existing(int handle, unsigned segment)
{
	objects[handle] = new QSharedMemory(QString::number(base + segment, 16));
}

static void create(int handle, unsigned segment, size_t size, int)
{
	open_existing(handle, segment);
	if (!objects[handle]->create(static_cast<int>(size)))
		die("QSharedMemory::create");
}

static void attach(int handle)
{
	if (!objects[handle]->attach())
		die("QSharedMemory::attach");
}

static void detach(int handle)
{
	if (!objects[handle]->detach())
		die("QSharedMemory::detach");
}

static void close_handle(int handle)
{
	delete objects[handle];
}

static void remove_segment(int)
{
}

static void *address(int handle)
{
	return objects[handle]->data();
}

static size_t size_of(int handle)
{
	return static_cast<size_t>(objects[handle]->size());
}

extern "C" {
const struct contender contender = {
	start, create, open_existing, attach, detach, close_handle, remove_segment, address,
	nullptr, size_of, nullptr, nullptr, nullptr, 0, 1, nullptr,
};
}

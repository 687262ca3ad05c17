// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Live devices of every kind there is, on the origin disk unless told.
#pragma once

#include "base/units.h"
#include "origin.h"

#include <memory>
#include <string>

namespace dmsnap::test {

/// An LV striped over two physical volumes.
std::unique_ptr<Origin> striped_origin(Bytes size);
/// A thin LV.
std::unique_ptr<Origin> thin_origin(Bytes size);
/// An LV mirrored by md, in sync.
std::unique_ptr<Origin> raid1_origin(Bytes size);
/// An LV with a snapshot of LVM's, "test/snap".
std::unique_ptr<Origin> lvm_snapshot_origin(Bytes size);
/// LUKS2, with the key in the table or in the kernel's keyring.
enum class Key { in_table, in_keyring };
std::unique_ptr<Origin> crypt_origin(const std::string& disk, Key key);
/// The first partition of a disk, with a second one behind it.
std::unique_ptr<Origin> partition_origin(const std::string& disk, Bytes size);
/// A multipath device of one path.
std::unique_ptr<Origin> multipath_origin();

} // namespace dmsnap::test

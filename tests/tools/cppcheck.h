/* SPDX-License-Identifier: Apache-2.0 */
/* cppcheck.h - for cppcheck, which reads no header of a library: the loops that libraries define, as loops. */
#define json_array_foreach(array, index, value) \
	for (index = 0; index < json_array_size(array) && (value = json_array_get(array, index)); index++)
#define json_object_foreach(object, key, value)                                          \
	for (void *it_ = json_object_iter(object);                                       \
	     (key = json_object_iter_key(it_)) && (value = json_object_iter_value(it_)); \
	     it_ = json_object_iter_next(object, it_))
#define kmod_list_foreach(entry, first) for (entry = first; entry != NULL; entry = kmod_list_next(first, entry))

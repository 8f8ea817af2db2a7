/* The tables that codegen writes from the schemas. */
#define RAWMM_TABLES
#include "speed.h"

// ReferencePlugins
